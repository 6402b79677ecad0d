/*
 * Sends datagrams (or ChannelData over TCP) and counts what arrives at the other side of a relay, in one thread.
 *
 * usage: generator spec=FILE key=value ...
 *
 * All sockets are inherited. The file names them, one a line:
 *     send FD udp|tcp HEADER     HEADER: eight hexadecimal digits put before each payload, or "-"
 *     sink FD udp|tcp BYTES      BYTES: what stands before each payload there
 *
 * Each payload begins with the time of sending and a tag, so that the sink can tell latency and damage.
 * The result is one JSON object on standard output.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { MAX_FLOWS = 4096, SLOTS = 64, SLOT_BYTES = 65536, STREAM_BYTES = 1 << 20, SAMPLES = 1 << 18, BUFFER_BYTES = 8 << 20 };
static const uint32_t TAG = 0x5ca1ab1e;

struct sender { int fd, is_tcp, header_bytes, frame_bytes, offset; uint8_t header[4], *frames; };
struct sink { int fd, is_tcp, header_bytes; uint64_t bytes, frames; };

static struct sender senders[MAX_FLOWS];
static struct sink sinks[MAX_FLOWS];
static int sender_count, sink_count;

static double duration_s = 3, warm_up_s = 0.5, rate_per_s;
static int payload = 1200, burst = 1, gso, window, cpu = -1, realtime, is_measuring;
static const char *pids = "";

static uint64_t sent, received, damaged, refused, lost;
static uint32_t samples[SAMPLES];
static uint64_t sample_count;

static uint8_t *memory;
static struct mmsghdr slots[SLOTS];
static struct iovec vectors[SLOTS];
static char controls[SLOTS][64];

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double own_cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* CPU seconds of all threads of the watched processes. */
static double watched_cpu_s(void)
{
    char list[4096], *rest = NULL;
    double total_ns = 0;
    snprintf(list, sizeof list, "%s", pids);
    for (char *pid = strtok_r(list, ",", &rest); pid; pid = strtok_r(NULL, ",", &rest)) {
        char folder[64];
        snprintf(folder, sizeof folder, "/proc/%.16s/task", pid);
        DIR *tasks = opendir(folder);
        for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
            char path[384];
            double ns = 0;
            snprintf(path, sizeof path, "%s/%s/schedstat", folder, entry->d_name);
            FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
            if (file && fscanf(file, "%lf", &ns) == 1)
                total_ns += ns;
            if (file)
                fclose(file);
        }
        if (tasks)
            closedir(tasks);
    }
    return total_ns / 1e9;
}

static void sample_latency(uint64_t now, uint64_t sent_at)
{
    uint64_t ns = now - sent_at;
    if (ns > 4000000000u)
        return;
    /* Beyond the room there is, overwrite at random, so that the sample stays even. */
    uint64_t at = sample_count < SAMPLES ? sample_count : (sample_count * 2654435761u) % SAMPLES;
    samples[at] = (uint32_t)ns;
    sample_count++;
}

/* Counts the datagrams of one message, which the kernel may have joined. */
static int take_message(const struct sink *sink, int slot, uint64_t *now)
{
    struct msghdr *message = &slots[slot].msg_hdr;
    const uint8_t *data = vectors[slot].iov_base;
    int size = (int)slots[slot].msg_len, segment = 0, count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
            memcpy(&segment, CMSG_DATA(c), sizeof segment);
    if (segment <= 0)
        segment = size;
    for (int at = 0; at < size; at += segment) {
        uint32_t tag = 0;
        int length = size - at < segment ? size - at : segment;
        if (length == payload + sink->header_bytes)
            memcpy(&tag, data + at + sink->header_bytes + 8, sizeof tag);
        if (tag != TAG) {
            damaged++;
            continue;
        }
        count++;
    }
    if (is_measuring && count && (!window || slot % 8 == 0)) {
        uint64_t sent_at;
        memcpy(&sent_at, data + sink->header_bytes, sizeof sent_at);
        if (!*now)
            *now = now_ns();
        sample_latency(*now, sent_at);
    }
    return count;
}

static int drain_datagrams(struct sink *sink, int calls)
{
    int total = 0;
    while (calls--) {
        uint64_t now = 0;
        for (int i = 0; i < SLOTS; i++)
            slots[i].msg_hdr.msg_controllen = sizeof controls[i];
        int count = recvmmsg(sink->fd, slots, SLOTS, MSG_DONTWAIT, NULL);
        for (int i = 0; i < count; i++)
            total += take_message(sink, i, &now);
        if (count < SLOTS)
            break;
    }
    return total;
}

static int drain_stream(struct sink *sink)
{
    uint64_t frame = (uint64_t)(payload + 3) / 4 * 4 + (uint64_t)sink->header_bytes;
    ssize_t size = recv(sink->fd, memory, STREAM_BYTES, MSG_DONTWAIT);
    if (size <= 0)
        return 0;
    sink->bytes += (uint64_t)size;
    uint64_t whole = sink->bytes / frame, count = whole - sink->frames;
    sink->frames = whole;
    return (int)count;
}

static int drain(struct sink *sink, int calls)
{
    int count = sink->is_tcp ? drain_stream(sink) : drain_datagrams(sink, calls);
    received += (uint64_t)count;
    return count;
}

static void count_sent(ssize_t result, int datagrams)
{
    if (result < 0)
        refused += (uint64_t)datagrams;
    else
        sent += (uint64_t)datagrams;
}

static void send_stream(struct sender *s)
{
    int total = s->frame_bytes * burst;
    ssize_t size = send(s->fd, s->frames + s->offset, (size_t)(total - s->offset), MSG_DONTWAIT);
    if (size <= 0) {
        refused++;
        return;
    }
    int whole = s->offset / s->frame_bytes;
    s->offset += (int)size;
    sent += (uint64_t)(s->offset / s->frame_bytes - whole);
    if (s->offset == total)
        s->offset = 0;
}

static void send_segmented(struct sender *s)
{
    char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    struct iovec vector = {s->frames, (size_t)(s->frame_bytes * burst)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    uint16_t size = (uint16_t)s->frame_bytes;
    c->cmsg_level = SOL_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(c), &size, sizeof size);
    count_sent(sendmsg(s->fd, &message, MSG_DONTWAIT), burst);
}

/* One datagram each on the wire, but one system call for all: the generator has to be faster than the relay. */
static void send_separately(struct sender *s)
{
    static struct mmsghdr messages[SLOTS];
    static struct iovec pieces[SLOTS];
    for (int at = 0; at < burst;) {
        int count = burst - at < SLOTS ? burst - at : SLOTS;
        for (int i = 0; i < count; i++) {
            pieces[i] = (struct iovec){s->frames + (at + i) * s->frame_bytes, (size_t)s->frame_bytes};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i], .msg_iovlen = 1};
        }
        int done = sendmmsg(s->fd, messages, (unsigned)count, MSG_DONTWAIT);
        count_sent(1, done > 0 ? done : 0);
        count_sent(-1, count - (done > 0 ? done : 0));
        at += count;
    }
}

static void send_some(struct sender *s, uint64_t now)
{
    for (int i = 0; i < burst && s->offset == 0; i++)
        memcpy(s->frames + i * s->frame_bytes + s->header_bytes, &now, sizeof now);
    if (s->is_tcp)
        send_stream(s);
    else if (gso && burst > 1)
        send_segmented(s);
    else if (burst > 1)
        send_separately(s);
    else
        count_sent(send(s->fd, s->frames, (size_t)s->frame_bytes, MSG_DONTWAIT), 1);
}

static void read_spec(const char *path)
{
    char verb[8], kind[8], value[16], line[64];
    int fd;
    FILE *file = fopen(path, "r");
    if (!file) {
        perror(path);
        exit(2);
    }
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%7s %d %7s %15s", verb, &fd, kind, value) != 4 || sender_count == MAX_FLOWS || sink_count == MAX_FLOWS) {
            fprintf(stderr, "bad line: %s", line);
            exit(2);
        }
        int is_tcp = !strcmp(kind, "tcp");
        if (!strcmp(verb, "send")) {
            struct sender *s = &senders[sender_count++];
            s->fd = fd, s->is_tcp = is_tcp;
            if (value[0] != '-') {
                unsigned long header = strtoul(value, NULL, 16);
                s->header_bytes = 4;
                for (int i = 0; i < 4; i++)
                    s->header[i] = (uint8_t)(header >> (24 - 8 * i));
            }
        } else {
            struct sink *s = &sinks[sink_count++];
            s->fd = fd, s->is_tcp = is_tcp, s->header_bytes = atoi(value);
        }
    }
    fclose(file);
}

static int prepare(void)
{
    const int on = 1, size = BUFFER_BYTES;
    memory = calloc(1, (size_t)SLOTS * SLOT_BYTES);
    for (int i = 0; i < SLOTS; i++) {
        vectors[i] = (struct iovec){memory + (size_t)i * SLOT_BYTES, SLOT_BYTES};
        slots[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1, .msg_control = controls[i]};
    }
    for (int i = 0; i < sender_count; i++) {
        struct sender *s = &senders[i];
        s->frame_bytes = payload + s->header_bytes;
        if (s->is_tcp)
            s->frame_bytes = (s->frame_bytes + 3) / 4 * 4;
        else
            setsockopt(s->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
        s->frames = calloc((size_t)burst, (size_t)s->frame_bytes);
        for (int b = 0; b < burst; b++) {
            memcpy(s->frames + b * s->frame_bytes, s->header, (size_t)s->header_bytes);
            memcpy(s->frames + b * s->frame_bytes + s->header_bytes + 8, &TAG, sizeof TAG);
        }
    }
    int poll = epoll_create1(0);
    for (int i = 0; i < sink_count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        epoll_ctl(poll, EPOLL_CTL_ADD, sinks[i].fd, &event);
        if (sinks[i].is_tcp)
            continue;
        setsockopt(sinks[i].fd, SOL_UDP, UDP_GRO, &on, sizeof on);
        setsockopt(sinks[i].fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    }
    /* What an earlier run left in the queues is not of this one. */
    for (uint64_t start = now_ns(); now_ns() - start < 60000000u;)
        for (int i = 0; i < sink_count; i++)
            drain(&sinks[i], 8);
    sent = received = damaged = 0;
    return poll;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile_us(double share)
{
    uint64_t count = sample_count < SAMPLES ? sample_count : SAMPLES;
    return count ? samples[(uint64_t)((double)(count - 1) * share)] / 1e3 : 0;
}

/* Whether more may be sent now: by rate, by what is in flight, or always. */
static int may_send(uint64_t now, int visits, uint64_t *next_send, uint64_t *last_progress)
{
    if (rate_per_s > 0) {
        if (now < *next_send)
            return 0;
        *next_send += (uint64_t)(1e9 / rate_per_s * burst * visits);
        if (now > *next_send + 20000000u)
            *next_send = now;
    }
    if (!window)
        return 1;
    int64_t in_flight = (int64_t)(sent - received - lost);
    if (in_flight < 0)
        lost -= (uint64_t)-in_flight < lost ? (uint64_t)-in_flight : lost;
    if (in_flight <= 0 || in_flight + burst * visits <= window)
        return 1;
    if (now - *last_progress < 20000000u)
        return 0;
    lost = sent - received; /* nothing came for 20 ms: what is out is not coming */
    *last_progress = now;
    return 1;
}

static void run(int poll)
{
    struct epoll_event events[512];
    int next = 0, visits = sender_count < 32 ? sender_count : 32;
    if (rate_per_s > 0)
        visits = 1;
    uint64_t start = now_ns(), measure_at = start + (uint64_t)(warm_up_s * 1e9);
    uint64_t end = measure_at + (uint64_t)(duration_s * 1e9);
    uint64_t next_send = start, last_progress = start, began = 0, first_sent = 0, first_received = 0;
    double watched = 0, own = 0;
    uint64_t now;
    while ((now = now_ns()) < end) {
        if (!is_measuring && now >= measure_at) {
            is_measuring = 1;
            began = now, first_sent = sent, first_received = received;
            watched = watched_cpu_s(), own = own_cpu_s();
        }
        int can_send = may_send(now, visits, &next_send, &last_progress), got = 0;
        for (int i = 0; can_send && i < visits; i++) {
            send_some(&senders[next], now);
            next = (next + 1) % sender_count;
        }
        if (sink_count == 1) {
            got = drain(&sinks[0], 4);
            if (!got && !can_send && !(rate_per_s > 0))
                epoll_wait(poll, events, 1, 1);
        } else {
            int count = epoll_wait(poll, events, 512, can_send || rate_per_s > 0 ? 0 : 1);
            for (int i = 0; i < count; i++)
                got += drain(&sinks[events[i].data.u32], 1);
        }
        if (got)
            last_progress = now_ns();
    }
    double elapsed = (double)(now - began) / 1e9, packets = (double)(received - first_received);
    double cpu_s = watched_cpu_s() - watched, offered = (double)(sent - first_sent);
    qsort(samples, sample_count < SAMPLES ? sample_count : SAMPLES, sizeof samples[0], compare);
    printf("{\"elapsed_s\": %.4f, \"sent\": %.0f, \"received\": %.0f, \"damaged\": %" PRIu64 ", \"refused\": %" PRIu64
           ", \"packets_per_s\": %.1f, \"mbit_per_s\": %.2f, \"cpu_s\": %.4f, \"generator_cpu_s\": %.4f"
           ", \"latency_p50_us\": %.1f, \"latency_p99_us\": %.1f}\n",
           elapsed, offered, packets, damaged, refused, packets / elapsed, packets * payload * 8 / elapsed / 1e6, cpu_s,
           own_cpu_s() - own, percentile_us(0.5), percentile_us(0.99));
}

int main(int argc, char **argv)
{
    const char *spec = "";
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value)
            return 2;
        *value++ = 0;
        const char *key = argv[i];
        if (!strcmp(key, "spec")) spec = value;
        else if (!strcmp(key, "pids")) pids = value;
        else if (!strcmp(key, "duration_s")) duration_s = atof(value);
        else if (!strcmp(key, "warm_up_s")) warm_up_s = atof(value);
        else if (!strcmp(key, "rate")) rate_per_s = atof(value);
        else if (!strcmp(key, "payload")) payload = atoi(value);
        else if (!strcmp(key, "burst")) burst = atoi(value);
        else if (!strcmp(key, "gso")) gso = atoi(value);
        else if (!strcmp(key, "window")) window = atoi(value);
        else if (!strcmp(key, "cpu")) cpu = atoi(value);
        else if (!strcmp(key, "realtime")) realtime = atoi(value);
        else return 2;
    }
    if (cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        sched_setaffinity(0, sizeof set, &set);
    }
    read_spec(spec);
    if (!sender_count || !sink_count)
        return 2;
    int poll = prepare();
    struct sched_param priority = {.sched_priority = 1};
    if (realtime && sched_setscheduler(0, SCHED_RR, &priority))
        perror("realtime");
    run(poll);
    return 0;
}
