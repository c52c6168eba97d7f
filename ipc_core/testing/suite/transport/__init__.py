"""The handles of a backend, as the SPI describes them."""
