/* The wall clock of one process, ahead by the seconds that stand in the file CLIC_EDGE_CLOCK.

   Only reading the clock is changed. libfaketime changes sleeping and waiting too, and gets both
   wrong where a program waits by the monotonic clock, as Python does. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long ahead(void) {
  static _Thread_local long seconds = 0, looked_at = -1;
  struct timespec now;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  if (now.tv_sec != looked_at) {
    FILE *file = fopen(getenv("CLIC_EDGE_CLOCK"), "r");
    if (file) {
      if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
      fclose(file);
    }
    looked_at = now.tv_sec;
  }
  return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int answer = syscall(SYS_clock_gettime, clock, now);
  if (!answer && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += ahead();
  return answer;
}

int gettimeofday(struct timeval *now, void *zone) {
  int answer = syscall(SYS_gettimeofday, now, zone);
  if (!answer) now->tv_sec += ahead();
  return answer;
}

time_t time(time_t *kept) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (kept) *kept = now.tv_sec;
  return now.tv_sec;
}
