"""All tests of the kit in one class, in the order in which they run."""

from ipc_core.testing.suite.channels.test_bytes import TestBytes
from ipc_core.testing.suite.channels.test_channel import TestChannel
from ipc_core.testing.suite.channels.test_disconnect import TestDisconnect
from ipc_core.testing.suite.channels.test_embedding import TestEmbedding
from ipc_core.testing.suite.channels.test_errors import TestErrors
from ipc_core.testing.suite.channels.test_interrupts import TestInterrupts
from ipc_core.testing.suite.channels.test_machine import TestMachine
from ipc_core.testing.suite.channels.test_one_shot_server import TestOneShotServer
from ipc_core.testing.suite.channels.test_opaque import TestOpaque
from ipc_core.testing.suite.channels.test_races import TestRaces
from ipc_core.testing.suite.channels.test_receiver_set import TestReceiverSet
from ipc_core.testing.suite.channels.test_receiver_set_members import TestReceiverSetMembers
from ipc_core.testing.suite.channels.test_receiver_set_threads import TestReceiverSetThreads
from ipc_core.testing.suite.channels.test_reentrancy import TestReentrancy
from ipc_core.testing.suite.channels.test_router import TestRouter
from ipc_core.testing.suite.channels.test_router_life import TestRouterLife
from ipc_core.testing.suite.channels.test_router_steps import TestRouterSteps
from ipc_core.testing.suite.channels.test_shared_memory import TestSharedMemory
from ipc_core.testing.suite.channels.test_shared_memory_content import TestSharedMemoryContent
from ipc_core.testing.suite.channels.test_sizes import TestSizes
from ipc_core.testing.suite.channels.test_stream import TestStream
from ipc_core.testing.suite.channels.test_threads import TestThreads
from ipc_core.testing.suite.channels.test_timeouts import TestTimeouts
from ipc_core.testing.suite.codecs.test_forgery import TestForgery, TestForgeryOfProcesses
from ipc_core.testing.suite.codecs.test_formats import TestFormats, TestMaxMessage
from ipc_core.testing.suite.codecs.test_pickling import TestPickling
from ipc_core.testing.suite.codecs.test_pickling_buffers import TestPicklingBuffers
from ipc_core.testing.suite.codecs.test_pickling_failures import TestPicklingFailures
from ipc_core.testing.suite.codecs.test_pickling_main import TestPicklingMain
from ipc_core.testing.suite.codecs.test_pickling_numpy import TestPicklingNumpy
from ipc_core.testing.suite.codecs.test_typed import TestTyped
from ipc_core.testing.suite.codecs.test_typed_values import TestTypedValues
from ipc_core.testing.suite.processes.test_arguments import TestArguments
from ipc_core.testing.suite.processes.test_bootstrap import TestBootstrap, TestBootstrapDeaths
from ipc_core.testing.suite.processes.test_cross_process import TestCrossProcess
from ipc_core.testing.suite.processes.test_descriptors import TestDescriptors
from ipc_core.testing.suite.processes.test_forks import (
    TestForks,
    TestForksApart,
    TestForksInProcess,
)
from ipc_core.testing.suite.processes.test_inheritance import TestInheritance
from ipc_core.testing.suite.processes.test_killed_peers import TestKilledPeers, TestSharedReceivers
from ipc_core.testing.suite.processes.test_signals import TestSignals
from ipc_core.testing.suite.processes.test_typed_processes import TestTypedProcesses
from ipc_core.testing.suite.transport.test_attachments import TestTransportAttachments
from ipc_core.testing.suite.transport.test_bounded import TestTransportBounded
from ipc_core.testing.suite.transport.test_disconnect import TestTransportDisconnect
from ipc_core.testing.suite.transport.test_fileno import TestTransportFileno
from ipc_core.testing.suite.transport.test_limits import TestTransportLimits
from ipc_core.testing.suite.transport.test_memory import TestTransportMemory
from ipc_core.testing.suite.transport.test_messages import TestTransportMessages
from ipc_core.testing.suite.transport.test_ownership import TestTransportOwnership
from ipc_core.testing.suite.transport.test_processes import (
    TestTransportDeaths,
    TestTransportProcesses,
)
from ipc_core.testing.suite.transport.test_queue import TestTransportQueue
from ipc_core.testing.suite.transport.test_receiver_set import TestTransportReceiverSet
from ipc_core.testing.suite.transport.test_receiver_set_changes import (
    TestTransportReceiverSetChanges,
)
from ipc_core.testing.suite.transport.test_refusals import TestTransportRefusals
from ipc_core.testing.suite.transport.test_server import TestTransportServer
from ipc_core.testing.suite.transport.test_unread import TestTransportUnread
from ipc_core.testing.suite.transport.test_waiting import TestTransportWaiting


class BackendConformance(
    TestTransportMessages,
    TestTransportQueue,
    TestTransportDisconnect,
    TestTransportWaiting,
    TestTransportOwnership,
    TestTransportAttachments,
    TestTransportLimits,
    TestTransportBounded,
    TestTransportFileno,
    TestTransportReceiverSet,
    TestTransportReceiverSetChanges,
    TestTransportServer,
    TestTransportMemory,
    TestTransportProcesses,
    TestTransportDeaths,
    TestTransportUnread,
    TestTransportRefusals,
    TestBytes,
    TestChannel,
    TestDisconnect,
    TestEmbedding,
    TestErrors,
    TestInterrupts,
    TestOneShotServer,
    TestOpaque,
    TestRaces,
    TestReceiverSet,
    TestReceiverSetMembers,
    TestReceiverSetThreads,
    TestReentrancy,
    TestSharedMemory,
    TestSharedMemoryContent,
    TestSizes,
    TestThreads,
    TestTimeouts,
    TestRouter,
    TestRouterLife,
    TestRouterSteps,
    TestStream,
    TestMachine,
    TestFormats,
    TestMaxMessage,
    TestForgery,
    TestForgeryOfProcesses,
    TestPickling,
    TestPicklingBuffers,
    TestPicklingFailures,
    TestPicklingMain,
    TestPicklingNumpy,
    TestTyped,
    TestTypedProcesses,
    TestTypedValues,
    TestBootstrap,
    TestBootstrapDeaths,
    TestCrossProcess,
    TestDescriptors,
    TestInheritance,
    TestKilledPeers,
    TestSharedReceivers,
    TestArguments,
    TestForks,
    TestForksApart,
    TestForksInProcess,
    TestSignals,
):
    """Every test of the kit. Derive a class and set `backend` to the name of yours."""
