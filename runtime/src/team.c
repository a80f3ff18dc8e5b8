/* Helpers wait for an instruction's work, a while awake, as the next instruction mostly follows at once, then asleep. Members take
 * shares of it as they find time, so that one whose processor is busy elsewhere holds up nobody: a caller without help, as in a forked
 * process, where there are no helpers, takes them all. */
#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATIENCE = 20000 }; /* looks for a share before a helper goes to sleep: some hundred microseconds */

typedef struct helper {
  re2na_team *team;
  pthread_t thread;
  uint32_t member;
} helper;

struct re2na_team {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  bool ends;
  /* Written before `left` is, read by those who took a share. */
  re2na_task *task;
  void *job;
  uint32_t shares;
  atomic_uint left; /* shares that nobody has taken */
  atomic_uint done;
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

static bool take(re2na_team *team, uint32_t *share) {
  unsigned left = atomic_load_explicit(&team->left, memory_order_relaxed);
  while (left && !atomic_compare_exchange_weak_explicit(&team->left, &left, left - 1, memory_order_acquire, memory_order_relaxed)) {}
  if (!left) return false;
  *share = team->shares - left;
  return true;
}

static void work(re2na_team *team, uint32_t member) {
  uint32_t share;
  while (take(team, &share)) {
    team->task(team->job, member, share);
    atomic_fetch_add_explicit(&team->done, 1, memory_order_release);
  }
}

static bool is_idle(re2na_team *team) { return atomic_load_explicit(&team->left, memory_order_relaxed) == 0; }

/* False where the team ends. */
static bool wait_for_work(re2na_team *team) {
  bool ends;
  for (int look = 0; look < PATIENCE && is_idle(team); look++) breathe();
  if (!is_idle(team)) return true;
  pthread_mutex_lock(&team->lock);
  while (is_idle(team) && !team->ends) pthread_cond_wait(&team->wake, &team->lock);
  ends = team->ends;
  pthread_mutex_unlock(&team->lock);
  return !ends;
}

static void *help(void *argument) {
  const helper *self = argument;
  while (wait_for_work(self->team)) work(self->team, self->member);
  return NULL;
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
    pthread_mutex_lock(&team->lock);
    team->ends = true;
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->lock);
    for (uint32_t i = 0; i < team->started; i++) pthread_join(team->helpers[i].thread, NULL);
    pthread_cond_destroy(&team->wake);
    pthread_mutex_destroy(&team->lock);
  }
  free(team);
}

uint32_t re2na_team_members(const re2na_team *team) { return team->members; }

void re2na_team_run(re2na_team *team, re2na_task *task, void *job, uint32_t shares) {
  if (team->owner != getpid()) {
    for (uint32_t share = 0; share < shares; share++) task(job, 0, share);
    return;
  }
  team->task = task;
  team->job = job;
  team->shares = shares;
  atomic_store_explicit(&team->done, 0, memory_order_relaxed);
  pthread_mutex_lock(&team->lock);
  atomic_store_explicit(&team->left, shares, memory_order_release);
  pthread_cond_broadcast(&team->wake);
  pthread_mutex_unlock(&team->lock);
  work(team, 0);
  for (int look = 0; atomic_load_explicit(&team->done, memory_order_acquire) < shares; look++) {
    if (look < PATIENCE) breathe();
    else sched_yield(); /* more threads than processors: a helper waits for this one */
  }
}
