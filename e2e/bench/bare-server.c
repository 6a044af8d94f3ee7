// The least that an NBD server can do for a file, as a yardstick at depth 1: one request at a time by plain system calls, past the page
// cache, every write durable; no checksums, no log, no limits, no errors. It trusts its client and is of no other use.
// Usage: bare-server FILE SOCKET
#define _GNU_SOURCE
#include <endian.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define PACKED __attribute__((packed))
#define MEMORY_BYTES (4 << 20)
#define PAGE_BYTES 4096

enum { OPT_ABORT = 2, OPT_INFO = 6, OPT_GO = 7, OPT_STRUCTURED = 8 };
enum { REP_ACK = 1, REP_INFO = 3 };
enum { CMD_READ = 0, CMD_WRITE = 1, CMD_DISC = 2 };
static const uint32_t REP_ERR_UNSUP = 0x80000001;
static const uint16_t FLAGS_HANDSHAKE = 3, FLAGS_TRANSMISSION = 1 | 4 | 8;

struct PACKED greeting { uint64_t magic, option_magic; uint16_t flags; };
struct PACKED option { uint64_t magic; uint32_t code, length; };
struct PACKED option_reply { uint64_t magic; uint32_t code, type, length; };
struct PACKED export_info { uint16_t type; uint64_t size; uint16_t flags; };
struct PACKED request { uint32_t magic; uint16_t flags, type; uint64_t cookie, offset; uint32_t length; };
struct PACKED simple_reply { uint32_t magic, error; uint64_t cookie; };
struct PACKED data_chunk { uint32_t magic; uint16_t flags, type; uint64_t cookie; uint32_t length; uint64_t offset; };

static int client, file;
static uint64_t file_size;
static bool is_structured;

static void send_all(const void *bytes, size_t length) {
  if (send(client, bytes, length, MSG_NOSIGNAL) != (ssize_t)length) _exit(0);
}

static void receive_all(void *bytes, size_t length) {
  if (length > 0 && recv(client, bytes, length, MSG_WAITALL) != (ssize_t)length) _exit(0);
}

static void answer_option(uint32_t code, uint32_t type, const void *body, uint32_t length) {
  struct option_reply reply = {htobe64(0x3e889045565a9), htobe32(code), htobe32(type), htobe32(length)};
  send_all(&reply, sizeof reply);
  if (length > 0) send_all(body, length);
}

static void negotiate(char *memory) {
  struct greeting greeting = {htobe64(0x4e42444d41474943), htobe64(0x49484156454f5054), htobe16(FLAGS_HANDSHAKE)};
  struct export_info info = {0, htobe64(file_size), htobe16(FLAGS_TRANSMISSION)};
  send_all(&greeting, sizeof greeting);
  receive_all(memory, sizeof(uint32_t));
  for (uint32_t code = 0; code != OPT_GO;) {
    struct option option;
    receive_all(&option, sizeof option);
    if (be32toh(option.length) > PAGE_BYTES) _exit(1);
    receive_all(memory, be32toh(option.length));
    code = be32toh(option.code);
    if (code == OPT_STRUCTURED) is_structured = true;
    if (code == OPT_INFO || code == OPT_GO) answer_option(code, REP_INFO, &info, sizeof info);
    bool is_known = code == OPT_STRUCTURED || code == OPT_INFO || code == OPT_GO || code == OPT_ABORT;
    answer_option(code, is_known ? REP_ACK : REP_ERR_UNSUP, NULL, 0);
    if (code == OPT_ABORT) _exit(0);
  }
}

// The answer's head stands right before the data, so that one call sends both.
static void answer(const struct request *request, char *data, size_t length) {
  struct data_chunk chunk = {htobe32(0x668e33ef), htobe16(1), htobe16(1), request->cookie, htobe32(8 + length), request->offset};
  struct simple_reply simple = {htobe32(0x67446698), 0, request->cookie};
  bool is_chunk = length > 0 && is_structured;
  size_t head = is_chunk ? sizeof chunk : sizeof simple;
  memcpy(data - head, is_chunk ? (void *)&chunk : (void *)&simple, head);
  send_all(data - head, head + length);
}

static void serve(char *data) {
  for (;;) {
    struct request request;
    receive_all(&request, sizeof request);
    int type = be16toh(request.type);
    size_t length = be32toh(request.length);
    uint64_t offset = be64toh(request.offset);
    struct iovec vector = {data, length};
    if (type == CMD_DISC || length > MEMORY_BYTES) _exit(0);
    if (type == CMD_WRITE) receive_all(data, length);
    ssize_t done = type == CMD_READ    ? preadv2(file, &vector, 1, offset, 0)
                   : type == CMD_WRITE ? pwritev2(file, &vector, 1, offset, RWF_DSYNC)
                                       : fdatasync(file);
    if (done < 0) _exit(1);
    answer(&request, data, type == CMD_READ ? length : 0);
  }
}

int main(int count, char **arguments) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct stat status;
  char *memory = aligned_alloc(PAGE_BYTES, PAGE_BYTES + MEMORY_BYTES);
  if (count != 3 || strlen(arguments[2]) >= sizeof address.sun_path || memory == NULL) return 1;
  strcpy(address.sun_path, arguments[2]);
  file = open(arguments[1], O_RDWR | O_DIRECT | O_CLOEXEC);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (file < 0 || fstat(file, &status) < 0 || bind(listener, (void *)&address, sizeof address) < 0 || listen(listener, 8) < 0) return 1;
  file_size = status.st_size;
  signal(SIGCHLD, SIG_IGN);
  while ((client = accept(listener, NULL, NULL)) >= 0) {
    if (fork() == 0) {
      negotiate(memory);
      serve(memory + PAGE_BYTES);
    }
    close(client);
  }
  return 1;
}
