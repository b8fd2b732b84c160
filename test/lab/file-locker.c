/*
 * Locks a file as ifupdown does, with a record lock of the process, and holds it until its standard input ends:
 *
 *   file-locker FILE          says "held", or "waiting" first
 *   file-locker FILE look     says "free" or "locked", and ends
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words) {
  if (count < 2) return 2;
  int fd = open(words[1], O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) {
    perror(words[1]);
    return 1;
  }
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (count > 2 && strcmp(words[2], "look") == 0) {
    if (fcntl(fd, F_GETLK, &lock) < 0) return 1;
    puts(lock.l_type == F_UNLCK ? "free" : "locked");
    return 0;
  }
  if (fcntl(fd, F_SETLK, &lock) < 0) {
    if (errno != EACCES && errno != EAGAIN) return 1;
    puts("waiting");
    fflush(stdout);
    if (fcntl(fd, F_SETLKW, &lock) < 0) return 1;
  }
  puts("held");
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0);
  return 0;
}
