/* Helpers wait for an instruction's work, a while awake, as the next instruction mostly follows at once, then asleep. A process that
 * was forked has no helpers: there the caller does their part. */
#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATIENCE = 20000 }; /* looks at the flag before a helper goes to sleep: some tens of microseconds */

typedef struct helper {
  re2na_team *team;
  pthread_t thread;
  uint32_t member;
} helper;

struct re2na_team {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  re2na_task *task;
  void *job;
  bool ends;
  atomic_uint_fast64_t round; /* goes up when there is work */
  atomic_uint working;        /* helpers that are not done with it */
  uint32_t members, started;
  pid_t owner; /* the process that has the helpers */
  helper helpers[];
};

static void breathe(void) {
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
  __asm__ volatile("yield");
#endif
}

static uint_fast64_t next_round(re2na_team *team, uint_fast64_t seen) {
  uint_fast64_t now = seen;
  for (int look = 0; look < PATIENCE && now == seen; look++) {
    breathe();
    now = atomic_load_explicit(&team->round, memory_order_acquire);
  }
  if (now != seen) return now;
  pthread_mutex_lock(&team->lock);
  while ((now = atomic_load_explicit(&team->round, memory_order_acquire)) == seen) pthread_cond_wait(&team->wake, &team->lock);
  pthread_mutex_unlock(&team->lock);
  return now;
}

static void *help(void *argument) {
  const helper *self = argument;
  re2na_team *team = self->team;
  uint_fast64_t round = 0;
  for (;;) {
    round = next_round(team, round);
    if (team->ends) return NULL;
    team->task(team->job, self->member);
    atomic_fetch_sub_explicit(&team->working, 1, memory_order_release);
  }
}

static void call(re2na_team *team) {
  pthread_mutex_lock(&team->lock);
  atomic_fetch_add_explicit(&team->round, 1, memory_order_release);
  pthread_cond_broadcast(&team->wake);
  pthread_mutex_unlock(&team->lock);
}

re2na_team *re2na_team_create(uint32_t members) {
  re2na_team *team = calloc(1, sizeof *team + (members - 1) * sizeof *team->helpers);
  if (!team) return NULL;
  pthread_mutex_init(&team->lock, NULL);
  pthread_cond_init(&team->wake, NULL);
  team->members = members;
  team->owner = getpid();
  for (; team->started + 1 < members; team->started++) {
    helper *made = &team->helpers[team->started];
    *made = (helper){.team = team, .member = team->started + 1};
    if (pthread_create(&made->thread, NULL, help, made) != 0) {
      re2na_team_free(team);
      return NULL;
    }
  }
  return team;
}

void re2na_team_free(re2na_team *team) {
  if (!team) return;
  if (team->owner == getpid()) {
    team->ends = true;
    call(team);
    for (uint32_t i = 0; i < team->started; i++) pthread_join(team->helpers[i].thread, NULL);
    pthread_cond_destroy(&team->wake);
    pthread_mutex_destroy(&team->lock);
  }
  free(team);
}

uint32_t re2na_team_members(const re2na_team *team) { return team->members; }

void re2na_team_run(re2na_team *team, re2na_task *task, void *job) {
  if (team->owner != getpid()) {
    for (uint32_t member = 0; member < team->members; member++) task(job, member);
    return;
  }
  team->task = task;
  team->job = job;
  atomic_store_explicit(&team->working, team->members - 1, memory_order_relaxed);
  call(team);
  task(job, 0);
  for (int look = 0; atomic_load_explicit(&team->working, memory_order_acquire); look++) {
    if (look < PATIENCE) breathe();
    else sched_yield(); /* more threads than processors: a helper waits for this one */
  }
}
