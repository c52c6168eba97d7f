/* The C side of the fake kernel: functions with the names and types of libSystem, so that the
 * ctypes declarations of the backend are used as they are. Each call is a request to the broker
 * (fake_mach.py) over a SOCK_SEQPACKET connection; memory that a message carries out of line
 * travels as a memfd. Linux only; it shows the backend's logic, and nothing about macOS. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CONNECTIONS = 24, MAX_FDS = 64, MAX_MESSAGE = 200000, PAGE = 4096 };
enum { HELLO = 1, SEND, RECEIVE, CANCEL, PORT, ENTRY, MAP, WATCH, VIOLATION };
enum { ALLOCATE = 1, DEALLOCATE, MOD_REFS, MOVE_MEMBER, EXTRACT, LIMITS, NOTIFY, TYPE, SPECIAL,
       REGISTER, LOOK_UP };
enum { SEND_MSG = 1, RCV_MSG = 2, RCV_LARGE = 4, RCV_TIMEOUT = 0x100, RCV_INTERRUPT = 0x400 };
#define SEND_TIMED_OUT 0x10000004
#define RCV_TOO_LARGE 0x10004004
#define RCV_INTERRUPTED 0x10004005
#define SEND_INVALID_MEMORY 0x1000000c
#define COMPLEX 0x80000000u

struct request { uint32_t op, length; int64_t args[6]; };
struct reply { int32_t code; uint32_t length; int64_t values[4]; };
struct header { uint32_t bits, size, remote, local, voucher; int32_t id; };
struct region { uint64_t address, size; struct region *next; };

uint32_t mach_task_self_ = 0x203;

static char broker[108];
static uint64_t task;
static int pool[CONNECTIONS * 4], free_ones[CONNECTIONS * 4], made, free_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct region *regions;

static void die(const char *what)
{
    fprintf(stderr, "fake libSystem: %s: %s\n", what, strerror(errno));
    abort();
}

static void transmit(int fd, const struct request *request, const void *payload, const int *fds, int count)
{
    struct iovec parts[2] = {{(void *)request, sizeof *request}, {(void *)payload, request->length}};
    char control[CMSG_SPACE(sizeof(int) * MAX_FDS)];
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    memset(control, 0, sizeof control);
    if (count) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
    }
    while (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            die("cannot reach the broker any more");
}

static int answer(int fd, struct reply *reply, void *payload, size_t room, int *fds)
{
    struct iovec parts[2] = {{reply, sizeof *reply}, {payload, room}};
    char control[CMSG_SPACE(sizeof(int) * MAX_FDS)];
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got;
    while ((got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC)) < 0)
        if (errno != EINTR)
            die("the broker is gone");
    if (!got) /* The run is over: threads that wait do so until their process ends. */
        for (;;)
            pause();
    if (got < (ssize_t)sizeof *reply || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        die("a strange reply of the broker");
    int count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), count * sizeof(int));
    }
    return count;
}

static int connection(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, broker);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("cannot reach the broker");
    struct request hello = {.op = HELLO, .args = {(int64_t)task, getpid()}};
    struct reply reply;
    int fds[MAX_FDS];
    transmit(fd, &hello, NULL, NULL, 0);
    answer(fd, &reply, NULL, 0, fds);
    return fd;
}

/* A fixed number of connections from the start, so that calls leave the descriptors level. */
static void connect_all(void)
{
    if (getrandom(&task, sizeof task, 0) != sizeof task)
        die("no random numbers");
    for (made = 0; made < CONNECTIONS; made++)
        free_ones[made] = pool[made] = connection();
    free_count = made;
}

static int borrow(void)
{
    pthread_mutex_lock(&lock);
    if (!made)
        connect_all();
    int fd;
    if (free_count)
        fd = free_ones[--free_count];
    else if (made < CONNECTIONS * 4)
        fd = pool[made++] = connection();
    else
        die("too many threads");
    pthread_mutex_unlock(&lock);
    return fd;
}

static void give_back(int fd)
{
    pthread_mutex_lock(&lock);
    free_ones[free_count++] = fd;
    pthread_mutex_unlock(&lock);
}

/* A forked child is a new task without rights. */
static void in_child(void)
{
    pthread_mutex_init(&lock, NULL);
    for (int i = 0; i < made; i++)
        close(pool[i]);
    made = free_count = 0;
}

void fake_connect(const char *path)
{
    strncpy(broker, path, sizeof broker - 1);
    pthread_atfork(NULL, NULL, in_child);
    pthread_mutex_lock(&lock);
    connect_all();
    pthread_mutex_unlock(&lock);
}

uint64_t fake_task(void) { return task; }

static int call_with(struct request *request, const void *payload, const int *fds, int count,
                     struct reply *reply, void *room, size_t size, int *got_fds)
{
    int fd = borrow();
    transmit(fd, request, payload, fds, count);
    int got = answer(fd, reply, room, size, got_fds);
    give_back(fd);
    return got;
}

static void violation(const char *text)
{
    struct request request = {.op = VIOLATION, .length = strlen(text)};
    struct reply reply;
    int fds[MAX_FDS];
    call_with(&request, text, NULL, 0, &reply, NULL, 0, fds);
}

static uint64_t rounded(uint64_t size) { return (size + PAGE - 1) / PAGE * PAGE; }

static void remember(void *address, uint64_t size)
{
    struct region *region = malloc(sizeof *region);
    *region = (struct region){(uint64_t)address, rounded(size), NULL};
    pthread_mutex_lock(&lock);
    region->next = regions;
    regions = region;
    pthread_mutex_unlock(&lock);
}

static int forget(uint64_t address, uint64_t size)
{
    int found = 0;
    pthread_mutex_lock(&lock);
    for (struct region **p = &regions; *p; p = &(*p)->next)
        if ((*p)->address == address && (*p)->size == rounded(size)) {
            struct region *gone = *p;
            *p = gone->next;
            free(gone);
            found = 1;
            break;
        }
    pthread_mutex_unlock(&lock);
    return found;
}

int fake_regions(void)
{
    int count = 0;
    pthread_mutex_lock(&lock);
    for (struct region *p = regions; p; p = p->next)
        count++;
    pthread_mutex_unlock(&lock);
    return count;
}

static int memory_file(uint64_t size)
{
    int fd = memfd_create("fake mach memory", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, rounded(size)) < 0)
        die("no memory file");
    return fd;
}

/* Descriptors of a message: type at byte 11; 12 bytes for a port, 16 for the others. */
static uint8_t *next_descriptor(uint8_t *at) { return at + (at[11] == 0 ? 12 : 16); }

static int send_message(uint8_t *message, int32_t option, uint32_t size, uint32_t timeout)
{
    struct header *header = (struct header *)message;
    int fds[MAX_FDS], got_fds[MAX_FDS], count = 0;
    uint32_t descriptors = header->bits & COMPLEX ? *(uint32_t *)(message + 24) : 0;
    uint8_t *at = message + 28;
    for (uint32_t i = 0; i < descriptors; i++, at = next_descriptor(at)) {
        if (at[11] != 1 && at[11] != 2 && at[11] != 3)
            continue;
        uint64_t address = *(uint64_t *)at, length = *(uint32_t *)(at + 12) * (at[11] == 2 ? 4ull : 1);
        if (count == MAX_FDS)
            die("too many regions for this fake");
        int fd = memory_file(length ? length : 1);
        for (uint64_t done = 0; done < length;) {
            ssize_t wrote = pwrite(fd, (void *)(address + done), length - done, done);
            if (wrote < 0) {
                violation("a message with memory that is not there");
                while (count)
                    close(fds[--count]);
                close(fd);
                return SEND_INVALID_MEMORY;
            }
            done += wrote;
        }
        fds[count++] = fd;
    }
    struct request request = {.op = SEND, .length = size, .args = {option, timeout}};
    struct reply reply;
    static __thread uint8_t room[MAX_MESSAGE];
    call_with(&request, message, fds, count, &reply, room, sizeof room, got_fds);
    int came_back = (reply.code & ~0x3e00) == SEND_TIMED_OUT;
    if (came_back)
        memcpy(message, room, reply.length);
    at = message + 28;
    for (int i = 0, n = 0; n < count; i++, at = next_descriptor(at)) {
        if (at[11] != 1 && at[11] != 2 && at[11] != 3)
            continue;
        uint64_t address = *(uint64_t *)at, length = *(uint32_t *)(at + 12) * (at[11] == 2 ? 4ull : 1);
        int taken = reply.code == 0 || came_back;
        if (taken && at[8] && length) {
            if (!forget(address, length))
                violation("a message gave away memory that was not allocated");
            munmap((void *)address, rounded(length));
        }
        if (came_back && length) {
            void *back = mmap(NULL, rounded(length), PROT_READ | PROT_WRITE, MAP_PRIVATE, fds[n], 0);
            remember(back, length);
            *(uint64_t *)at = (uint64_t)back;
            at[8] = 1;
        }
        close(fds[n++]);
    }
    return reply.code;
}

static int receive_message(uint8_t *message, int32_t option, uint32_t room, uint32_t name, uint32_t timeout)
{
    struct request request = {.op = RECEIVE, .args = {option, room, name, timeout}};
    struct reply reply;
    int fds[MAX_FDS];
    sigset_t all, before;
    /* A signal that comes before the wait has begun still interrupts it. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int fd = borrow();
    transmit(fd, &request, NULL, NULL, 0);
    if (option & RCV_INTERRUPT) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (ppoll(&wait, 1, NULL, &before) < 0 && errno == EINTR) {
            struct request cancel = {.op = CANCEL};
            transmit(fd, &cancel, NULL, NULL, 0);
        }
    }
    int count = answer(fd, &reply, message, room, fds);
    give_back(fd);
    if (reply.code == (int32_t)RCV_TOO_LARGE && room >= sizeof(struct header))
        ((struct header *)message)->size = reply.values[0];
    if (reply.code == 0) {
        struct header *header = (struct header *)message;
        uint32_t descriptors = header->bits & COMPLEX ? *(uint32_t *)(message + 24) : 0;
        uint8_t *at = message + 28;
        int n = 0;
        for (uint32_t i = 0; i < descriptors; i++, at = next_descriptor(at)) {
            if (at[11] != 1 && at[11] != 2 && at[11] != 3)
                continue;
            uint64_t length = *(uint32_t *)(at + 12) * (at[11] == 2 ? 4ull : 1);
            void *address = NULL;
            if (length) {
                address = mmap(NULL, rounded(length), PROT_READ | PROT_WRITE, MAP_PRIVATE, fds[n], 0);
                if (address == MAP_FAILED)
                    die("no room for a region");
                remember(address, length);
            }
            *(uint64_t *)at = (uint64_t)address;
            at[8] = 1;
            n++;
        }
    }
    while (count)
        close(fds[--count]);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return reply.code;
}

int mach_msg(void *message, int32_t option, uint32_t send_size, uint32_t receive_size,
             uint32_t name, uint32_t timeout, uint32_t notify)
{
    (void)notify;
    if (option & SEND_MSG)
        return send_message(message, option, send_size, timeout);
    return receive_message(message, option, receive_size, name, timeout);
}

static int port_call(int what, int64_t a, int64_t b, int64_t c, int64_t d, const char *text,
                     uint32_t *first, uint32_t *second)
{
    struct request request = {.op = PORT, .length = text ? strlen(text) : 0, .args = {what, a, b, c, d}};
    struct reply reply;
    int fds[MAX_FDS];
    call_with(&request, text, NULL, 0, &reply, NULL, 0, fds);
    if (reply.code == 0 && first)
        *first = reply.values[0];
    if (reply.code == 0 && second)
        *second = reply.values[1];
    return reply.code;
}

static void check_task(uint32_t given)
{
    if (given != mach_task_self_)
        violation("a call for a task that is not this one");
}

int mach_port_allocate(uint32_t t, uint32_t right, uint32_t *name)
{
    check_task(t);
    return port_call(ALLOCATE, right, 0, 0, 0, NULL, name, NULL);
}

int mach_port_deallocate(uint32_t t, uint32_t name)
{
    check_task(t);
    return port_call(DEALLOCATE, name, 0, 0, 0, NULL, NULL, NULL);
}

int mach_port_mod_refs(uint32_t t, uint32_t name, uint32_t right, int32_t delta)
{
    check_task(t);
    return port_call(MOD_REFS, name, right, delta, 0, NULL, NULL, NULL);
}

int mach_port_move_member(uint32_t t, uint32_t member, uint32_t after)
{
    check_task(t);
    return port_call(MOVE_MEMBER, member, after, 0, 0, NULL, NULL, NULL);
}

int mach_port_extract_right(uint32_t t, uint32_t name, uint32_t kind, uint32_t *made_name, uint32_t *made_kind)
{
    check_task(t);
    return port_call(EXTRACT, name, kind, 0, 0, NULL, made_name, made_kind);
}

int mach_port_set_attributes(uint32_t t, uint32_t name, int32_t flavor, const uint32_t *info, uint32_t count)
{
    check_task(t);
    return port_call(LIMITS, name, flavor, *info, count, NULL, NULL, NULL);
}

int mach_port_request_notification(uint32_t t, uint32_t name, int32_t id, uint32_t sync,
                                   uint32_t notify, uint32_t kind, uint32_t *previous)
{
    check_task(t);
    return port_call(NOTIFY, name, id, sync, (int64_t)kind << 32 | notify, NULL, previous, NULL);
}

int mach_port_type(uint32_t t, uint32_t name, uint32_t *kind)
{
    check_task(t);
    return port_call(TYPE, name, 0, 0, 0, NULL, kind, NULL);
}

int task_get_special_port(uint32_t t, int which, uint32_t *name)
{
    check_task(t);
    return port_call(SPECIAL, which, 0, 0, 0, NULL, name, NULL);
}

int bootstrap_register2(uint32_t bootstrap, const char *service, uint32_t name, uint64_t flags)
{
    return port_call(REGISTER, bootstrap, name, flags, 0, service, NULL, NULL);
}

int bootstrap_look_up(uint32_t bootstrap, const char *service, uint32_t *name)
{
    return port_call(LOOK_UP, bootstrap, 0, 0, 0, service, name, NULL);
}

int vm_allocate(uint32_t t, uint64_t *address, uint64_t size, int flags)
{
    check_task(t);
    if (flags != 1 || !size)
        return 4;
    void *made_at = mmap(NULL, rounded(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made_at == MAP_FAILED)
        return 3;
    remember(made_at, size);
    *address = (uint64_t)made_at;
    return 0;
}

int vm_deallocate(uint32_t t, uint64_t address, uint64_t size)
{
    check_task(t);
    if (!forget(address, size)) {
        violation("memory was given back that was not allocated");
        return 1;
    }
    munmap((void *)address, rounded(size));
    return 0;
}

int mach_make_memory_entry_64(uint32_t t, uint64_t *size, uint64_t offset, int permission,
                              uint32_t *entry, uint32_t parent)
{
    check_task(t);
    if (offset || parent || permission != (0x20000 | 3))
        return 4;
    if (*size > 1ull << 46)
        return 3;
    int file = memory_file(*size), fds[MAX_FDS];
    *size = rounded(*size);
    struct request request = {.op = ENTRY, .args = {*size}};
    struct reply reply;
    call_with(&request, NULL, &file, 1, &reply, NULL, 0, fds);
    close(file);
    *entry = reply.values[0];
    return reply.code;
}

int vm_map(uint32_t t, uint64_t *address, uint64_t size, uint64_t mask, int flags, uint32_t entry,
           uint64_t offset, uint32_t copy, int access, int most, uint32_t inheritance)
{
    check_task(t);
    if (mask || flags != 1 || offset || copy || access != 3 || most != 3 || inheritance != 0)
        return 4;
    struct request request = {.op = MAP, .args = {entry, rounded(size)}};
    struct reply reply;
    int fds[MAX_FDS];
    call_with(&request, NULL, NULL, 0, &reply, NULL, 0, fds);
    if (reply.code)
        return reply.code;
    void *at = mmap(NULL, rounded(size), PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    close(fds[0]);
    if (at == MAP_FAILED)
        return 3;
    remember(at, size);
    *address = (uint64_t)at;
    return 0;
}

/* An eventfd that the broker keeps readable while the port or set has messages. */
int kqueue(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

struct change { uint64_t ident; int16_t filter; uint16_t flags; uint32_t fflags; int64_t data; void *udata; };

int kevent(int queue, const struct change *change, int changes, void *events, int room, const void *timeout)
{
    (void)events, (void)timeout;
    if (changes != 1 || room || change->filter != -8 || change->flags != 1) {
        errno = EINVAL;
        return -1;
    }
    struct request request = {.op = WATCH, .args = {change->ident}};
    struct reply reply;
    int fds[MAX_FDS];
    call_with(&request, NULL, &queue, 1, &reply, NULL, 0, fds);
    errno = reply.code ? ENOENT : 0;
    return reply.code ? -1 : 0;
}
