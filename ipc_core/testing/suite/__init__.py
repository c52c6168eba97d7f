"""The tests that every backend passes, as far as its capabilities go."""

from ipc_core.testing.suite.test_bootstrap import TestBootstrap, TestBootstrapDeaths
from ipc_core.testing.suite.test_bytes import TestBytes
from ipc_core.testing.suite.test_channel import TestChannel
from ipc_core.testing.suite.test_cross_process import TestCrossProcess
from ipc_core.testing.suite.test_descriptors import TestDescriptors
from ipc_core.testing.suite.test_disconnect import TestDisconnect
from ipc_core.testing.suite.test_embedding import TestEmbedding
from ipc_core.testing.suite.test_errors import TestErrors
from ipc_core.testing.suite.test_forgery import TestForgery, TestForgeryOfProcesses
from ipc_core.testing.suite.test_forks import TestForks, TestForksInProcess
from ipc_core.testing.suite.test_formats import TestFormats, TestMaxMessage
from ipc_core.testing.suite.test_interrupts import TestInterrupts
from ipc_core.testing.suite.test_killed_peers import TestKilledPeers, TestSharedReceivers
from ipc_core.testing.suite.test_machine import TestMachine
from ipc_core.testing.suite.test_one_shot_server import TestOneShotServer
from ipc_core.testing.suite.test_opaque import TestOpaque
from ipc_core.testing.suite.test_pickling import TestPickling
from ipc_core.testing.suite.test_pickling_buffers import TestPicklingBuffers
from ipc_core.testing.suite.test_pickling_failures import TestPicklingFailures
from ipc_core.testing.suite.test_pickling_main import TestPicklingMain
from ipc_core.testing.suite.test_pickling_numpy import TestPicklingNumpy
from ipc_core.testing.suite.test_races import TestRaces
from ipc_core.testing.suite.test_receiver_set import TestReceiverSet
from ipc_core.testing.suite.test_receiver_set_members import TestReceiverSetMembers
from ipc_core.testing.suite.test_reentrancy import TestReentrancy
from ipc_core.testing.suite.test_router import TestRouter
from ipc_core.testing.suite.test_router_life import TestRouterLife
from ipc_core.testing.suite.test_router_steps import TestRouterSteps
from ipc_core.testing.suite.test_shared_memory import TestSharedMemory
from ipc_core.testing.suite.test_shared_memory_content import TestSharedMemoryContent
from ipc_core.testing.suite.test_signals import TestSignals
from ipc_core.testing.suite.test_sizes import TestSizes
from ipc_core.testing.suite.test_stream import TestStream
from ipc_core.testing.suite.test_threads import TestThreads
from ipc_core.testing.suite.test_timeouts import TestTimeouts
from ipc_core.testing.suite.test_transport_attachments import TestTransportAttachments
from ipc_core.testing.suite.test_transport_bounded import TestTransportBounded
from ipc_core.testing.suite.test_transport_disconnect import TestTransportDisconnect
from ipc_core.testing.suite.test_transport_fileno import TestTransportFileno
from ipc_core.testing.suite.test_transport_limits import TestTransportLimits
from ipc_core.testing.suite.test_transport_memory import TestTransportMemory
from ipc_core.testing.suite.test_transport_messages import TestTransportMessages
from ipc_core.testing.suite.test_transport_ownership import TestTransportOwnership
from ipc_core.testing.suite.test_transport_processes import (
    TestTransportDeaths,
    TestTransportProcesses,
)
from ipc_core.testing.suite.test_transport_queue import TestTransportQueue
from ipc_core.testing.suite.test_transport_receiver_set import TestTransportReceiverSet
from ipc_core.testing.suite.test_transport_receiver_set_changes import (
    TestTransportReceiverSetChanges,
)
from ipc_core.testing.suite.test_transport_server import TestTransportServer
from ipc_core.testing.suite.test_transport_waiting import TestTransportWaiting
from ipc_core.testing.suite.test_typed import TestTyped, TestTypedProcesses
from ipc_core.testing.suite.test_typed_values import TestTypedValues


class BackendConformance(
    TestBootstrap,
    TestBootstrapDeaths,
    TestBytes,
    TestChannel,
    TestCrossProcess,
    TestDescriptors,
    TestDisconnect,
    TestEmbedding,
    TestErrors,
    TestFormats,
    TestMaxMessage,
    TestInterrupts,
    TestForgery,
    TestForgeryOfProcesses,
    TestKilledPeers,
    TestSharedReceivers,
    TestForks,
    TestForksInProcess,
    TestOneShotServer,
    TestOpaque,
    TestPickling,
    TestPicklingBuffers,
    TestPicklingFailures,
    TestPicklingMain,
    TestPicklingNumpy,
    TestRaces,
    TestReceiverSet,
    TestReceiverSetMembers,
    TestReentrancy,
    TestSharedMemory,
    TestSharedMemoryContent,
    TestSignals,
    TestSizes,
    TestThreads,
    TestTimeouts,
    TestTransportAttachments,
    TestTransportDisconnect,
    TestTransportLimits,
    TestTransportMessages,
    TestTransportReceiverSet,
    TestTransportReceiverSetChanges,
    TestTransportWaiting,
    TestTransportBounded,
    TestTransportFileno,
    TestTransportMemory,
    TestTransportOwnership,
    TestTransportProcesses,
    TestTransportDeaths,
    TestTransportQueue,
    TestTransportServer,
    TestRouter,
    TestRouterLife,
    TestRouterSteps,
    TestStream,
    TestTyped,
    TestTypedProcesses,
    TestTypedValues,
    TestMachine,
):
    """Every test of the kit. Derive a class and set `backend` to the name of yours."""
