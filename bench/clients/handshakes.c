/*
 * A TLS client that does nothing but handshakes: as many as it can, on several connections at once, in one thread.
 * Each connection is one of: a handshake and one GET (answered and closed), or a handshake that the server shall
 * refuse (--junk). What it did is one JSON line on standard output.
 *
 *   handshakes --port P [--host 127.0.0.1] [--seconds 1] [--concurrency 16] [--tls 1.2|1.3] [--resume] [--junk]
 *              [--names N] [--first N] [--suffix .bench.test] [--sequential] [--count N] [--path /] [--group X25519:P-256]
 *
 * It says "ready", waits for a line on standard input, and only then begins, so that whoever measures the server can
 * read its CPU time in between; with --resume the sessions are made before "ready". Names are s%07d and the suffix.
 * Source addresses are drawn from 127.0.0.0/8, so that no limit by client address is met that many clients would not
 * meet. Ciphers are one for each version (AES-128-GCM), so that every server does the same work.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MAX_NAME 256
#define MAX_RESUMED_NAMES 64
#define STALL_SECONDS 10.0

typedef struct {
  SSL *ssl;
  int fd;
  int name;
  enum { CONNECTING, SHAKING, WRITING, READING } state;
  double since;
  size_t got;
} Slot;

static struct {
  const char *host, *suffix, *path, *group;
  int port, concurrency, names, first, tls, resume, junk, sequential;
  long count;
  double seconds;
} opt = {"127.0.0.1", ".bench.test", "/", "X25519:P-256", 0, 16, 1000, 0, 13, 0, 0, 0, 0, 1.0};

static SSL_CTX *ctx;
static SSL_SESSION *sessions[MAX_RESUMED_NAMES];
static struct sockaddr_in server;
static int epoll_fd, is_priming, next_name, slot_index;
static long done, failed, resumed, bytes;
static char last_problem[256];
static unsigned long long random_state;

static void die(const char *what) {
  fprintf(stderr, "handshakes: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* xorshift64: names and addresses need no better one. */
static unsigned random_below(unsigned limit) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (unsigned)((random_state >> 11) % limit);
}

static int keep_session(SSL *ssl, SSL_SESSION *session) {
  Slot *slot = SSL_get_ex_data(ssl, slot_index);
  if (!opt.resume || slot->name >= MAX_RESUMED_NAMES) return 0;
  if (sessions[slot->name] != NULL) SSL_SESSION_free(sessions[slot->name]);
  sessions[slot->name] = session;
  return 1;
}

static void make_context(void) {
  int version = opt.tls == 12 ? TLS1_2_VERSION : TLS1_3_VERSION;
  ctx = SSL_CTX_new(TLS_client_method());
  if (ctx == NULL) die("SSL_CTX_new");
  SSL_CTX_set_min_proto_version(ctx, version);
  SSL_CTX_set_max_proto_version(ctx, version);
  if (!SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") ||
      !SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256") ||
      !SSL_CTX_set1_groups_list(ctx, opt.group))
    die("ciphers or groups");
  SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ctx, keep_session);
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
  slot_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

static int choose_name(void) {
  int limit = opt.resume && opt.names > MAX_RESUMED_NAMES ? MAX_RESUMED_NAMES : opt.names;
  if (opt.sequential || is_priming) return next_name++ % limit;
  return (int)random_below((unsigned)limit);
}

static void write_name(char *name, int number) {
  if (opt.junk)
    snprintf(name, MAX_NAME, "%08x%08x.junk.test", random_below(0xffffffff), random_below(0xffffffff));
  else
    snprintf(name, MAX_NAME, "s%07d%s", opt.first + number, opt.suffix);
}

static int is_over(double end) {
  if (is_priming) return next_name >= (opt.names > MAX_RESUMED_NAMES ? MAX_RESUMED_NAMES : opt.names);
  return now() >= end || (opt.count > 0 && (opt.sequential ? next_name : done + failed) >= opt.count);
}

/* A copy: OpenSSL uses a session of TLS 1.3 once, and a server that sends no new ticket would be given a full handshake. */
static void offer_session(Slot *slot) {
  SSL_SESSION *copy = SSL_SESSION_dup(sessions[slot->name]);
  if (copy == NULL) die("SSL_SESSION_dup");
  SSL_set_session(slot->ssl, copy);
  SSL_SESSION_free(copy);
}

static void begin(Slot *slot) {
  struct sockaddr_in own = {.sin_family = AF_INET};
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = slot};
  char name[MAX_NAME];
  int one = 1;
  slot->name = choose_name();
  slot->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (slot->fd < 0) die("socket");
  setsockopt(slot->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(slot->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  own.sin_addr.s_addr = htonl(0x7f000000u | (1 + random_below(250)) << 16 | random_below(256) << 8 | (1 + random_below(254)));
  if (bind(slot->fd, (struct sockaddr *)&own, sizeof own) != 0) die("bind");
  if (connect(slot->fd, (struct sockaddr *)&server, sizeof server) != 0 && errno != EINPROGRESS) die("connect");
  slot->ssl = SSL_new(ctx);
  write_name(name, slot->name);
  SSL_set_tlsext_host_name(slot->ssl, name);
  SSL_set_ex_data(slot->ssl, slot_index, slot);
  if (opt.resume && !is_priming && sessions[slot->name] != NULL) offer_session(slot);
  SSL_set_fd(slot->ssl, slot->fd);
  SSL_set_connect_state(slot->ssl);
  slot->state = CONNECTING;
  slot->since = now();
  slot->got = 0;
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, slot->fd, &event) != 0) die("epoll_ctl");
}

/* A session that ends without this is one that OpenSSL does not resume. */
static void end(Slot *slot, int is_good, const char *problem) {
  SSL_set_shutdown(slot->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  if (is_good) {
    done += 1;
    bytes += (long)slot->got;
    if (SSL_session_reused(slot->ssl)) resumed += 1;
  } else {
    failed += 1;
    snprintf(last_problem, sizeof last_problem, "%s", problem);
  }
  SSL_free(slot->ssl);
  close(slot->fd);
  slot->ssl = NULL;
}

static const char *reason_of(int error) {
  unsigned long code = ERR_peek_error();
  const char *text = code == 0 ? NULL : ERR_reason_error_string(code);
  if (text != NULL) return text;
  return error == SSL_ERROR_SYSCALL ? "the server closed the connection" : "unknown";
}

/* Returns 1 while it waits for the socket, 0 when the connection is over. */
static int settle(Slot *slot, int result) {
  int error = SSL_get_error(slot->ssl, result);
  char problem[200];
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return 1;
  snprintf(problem, sizeof problem, "%s", reason_of(error));
  ERR_clear_error();
  if (slot->state == READING && slot->got > 0) end(slot, 1, "");
  else if (opt.junk && slot->state == SHAKING) end(slot, 1, "");
  else end(slot, 0, problem);
  return 0;
}

static int advance(Slot *slot) {
  char request[1024], buffer[16384], name[MAX_NAME];
  int result;
  if (slot->state == CONNECTING) slot->state = SHAKING;
  if (slot->state == SHAKING) {
    result = SSL_do_handshake(slot->ssl);
    if (result != 1) return settle(slot, result);
    if (opt.junk) return end(slot, 0, "a junk name was accepted"), 0;
    slot->state = WRITING;
  }
  if (slot->state == WRITING) {
    write_name(name, slot->name);
    result = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", opt.path, name);
    result = SSL_write(slot->ssl, request, result);
    if (result <= 0) return settle(slot, result);
    slot->state = READING;
  }
  for (;;) {
    result = SSL_read(slot->ssl, buffer, sizeof buffer);
    if (result <= 0) return settle(slot, result);
    if (slot->got == 0 && (result < 12 || memcmp(buffer, "HTTP/1.1 200", 12) != 0)) {
      char status[40];
      snprintf(status, sizeof status, "answered %.12s", buffer);
      return end(slot, 0, status), 0;
    }
    slot->got += (size_t)result;
  }
}

static void run(Slot *slots, double seconds) {
  struct epoll_event events[256];
  double until = now() + seconds, checked = now();
  int live = 0;
  for (int at = 0; at < opt.concurrency && !is_over(until); at += 1, live += 1) begin(&slots[at]);
  while (live > 0) {
    int count = epoll_wait(epoll_fd, events, 256, 100);
    for (int at = 0; at < count; at += 1) {
      Slot *slot = events[at].data.ptr;
      if (slot->ssl == NULL || advance(slot)) continue;
      if (is_over(until)) live -= 1;
      else begin(slot);
    }
    if (now() - checked < 1) continue;
    checked = now();
    for (int at = 0; at < opt.concurrency; at += 1) {
      if (slots[at].ssl == NULL || checked - slots[at].since < STALL_SECONDS) continue;
      end(&slots[at], 0, "no answer within 10 s");
      if (is_over(until)) live -= 1;
      else begin(&slots[at]);
    }
  }
}

static void read_options(int argc, char **argv) {
  for (int at = 1; at < argc; at += 1) {
    const char *name = argv[at], *value = at + 1 < argc ? argv[at + 1] : "";
    at += 1;
    if (strcmp(name, "--host") == 0) opt.host = value;
    else if (strcmp(name, "--port") == 0) opt.port = atoi(value);
    else if (strcmp(name, "--seconds") == 0) opt.seconds = atof(value);
    else if (strcmp(name, "--concurrency") == 0) opt.concurrency = atoi(value);
    else if (strcmp(name, "--tls") == 0) opt.tls = strcmp(value, "1.2") == 0 ? 12 : 13;
    else if (strcmp(name, "--names") == 0) opt.names = atoi(value);
    else if (strcmp(name, "--first") == 0) opt.first = atoi(value);
    else if (strcmp(name, "--count") == 0) opt.count = atol(value);
    else if (strcmp(name, "--suffix") == 0) opt.suffix = value;
    else if (strcmp(name, "--path") == 0) opt.path = value;
    else if (strcmp(name, "--group") == 0) opt.group = value;
    else if (at -= 1, strcmp(name, "--resume") == 0) opt.resume = 1;
    else if (strcmp(name, "--junk") == 0) opt.junk = 1;
    else if (strcmp(name, "--sequential") == 0) opt.sequential = 1;
    else {
      fprintf(stderr, "handshakes: there is no option %s\n", name);
      exit(2);
    }
  }
  if (opt.port <= 0 || opt.concurrency <= 0 || opt.names <= 0) {
    fprintf(stderr, "handshakes: --port, --concurrency and --names are positive numbers\n");
    exit(2);
  }
}

int main(int argc, char **argv) {
  char line[16];
  double started;
  Slot *slots;
  read_options(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  random_state = 0x9e3779b97f4a7c15ull ^ ((unsigned long long)getpid() << 32) ^ (unsigned long long)(now() * 1e9);
  server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)opt.port)};
  if (inet_pton(AF_INET, opt.host, &server.sin_addr) != 1) die("--host is no IPv4 address");
  make_context();
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  slots = calloc((size_t)opt.concurrency, sizeof *slots);
  if (slots == NULL) die("memory");
  if (opt.resume) {
    is_priming = 1;
    run(slots, 60);
    is_priming = 0;
    if (failed > 0) fprintf(stderr, "handshakes: %ld failed while sessions were made: %s\n", failed, last_problem);
    done = failed = resumed = bytes = 0;
    next_name = 0;
  }
  printf("ready\n");
  fflush(stdout);
  if (fgets(line, sizeof line, stdin) == NULL) return 0;
  started = now();
  run(slots, opt.seconds);
  printf("{\"done\":%ld,\"failed\":%ld,\"resumed\":%ld,\"bytes\":%ld,\"seconds\":%.3f,\"problem\":\"%s\"}\n", done, failed,
         resumed, bytes, now() - started, last_problem);
  return 0;
}
