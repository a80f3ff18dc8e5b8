/* Helpers wait for an instruction's work, a while awake, as the next instruction mostly follows at once, then asleep.
 * Every member has shares of its own, so that it finds in its cache what it wrote for the instruction before; one who
 * has none left takes those that another would come to last. So a member whose processor is busy elsewhere holds up
 * nobody, and a caller without help, as in a forked process, where there are no helpers, does them all. */
#include "machine/team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* Looks for work before a helper goes to sleep: a few hundred microseconds to a millisecond. */
enum { PATIENCE = 20000 };

typedef struct helper {
  re2na_team *team;
  pthread_t thread;
  uint32_t member;
} helper;

/* Shares of a member that nobody has taken: the first and the one behind the last, of 16 bits each, so that both ends
 * change as one. */
typedef struct queue {
  _Alignas(RE2NA_LINE) atomic_uint_fast32_t ends;
} queue;

struct re2na_team {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  bool ends;
  pid_t owner; /* the process that has the helpers */
  uint32_t members, started;
  helper *helpers;
  queue *queues;
  /* In one line, as helpers read it all when it is new. Written before the queues are filled, read by those who took a
   * share. */
  _Alignas(RE2NA_LINE) re2na_task *task;
  void *job;
  uint32_t each;
  atomic_uint runs;                      /* begun so far */
  _Alignas(RE2NA_LINE) atomic_uint done; /* shares */
};

static void breathe(void) {
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
  __asm__ volatile("yield");
#endif
}

static uint_fast32_t ends(uint_fast32_t first, uint_fast32_t stop) { return first | stop << 16; }

/* A share of `of`: its first, or for another member its last. */
static bool take(queue *of, bool own, uint32_t *share) {
  uint_fast32_t seen = atomic_load_explicit(&of->ends, memory_order_relaxed);
  for (;;) {
    const uint_fast32_t first = seen & 0xFFFF, stop = seen >> 16;
    if (first == stop) return false;
    *share = (uint32_t)(own ? first : stop - 1);
    if (atomic_compare_exchange_weak_explicit(&of->ends, &seen, own ? ends(first + 1, stop) : ends(first, stop - 1),
                                              memory_order_acquire, memory_order_relaxed))
      return true;
  }
}

static void work(re2na_team *team, uint32_t member) {
  uint32_t share, done = 0;
  for (uint32_t i = 0; i < team->members; i++) {
    const uint32_t of = (member + i) % team->members;
    for (; take(&team->queues[of], i == 0, &share); done++) team->task(team->job, member, of * team->each + share);
  }
  atomic_fetch_add_explicit(&team->done, done, memory_order_release);
}

static bool is_idle(re2na_team *team, unsigned seen) {
  return atomic_load_explicit(&team->runs, memory_order_acquire) == seen;
}

/* Waits for a run behind the `seen` ones; false where the team ends. */
static bool wait_for_work(re2na_team *team, unsigned seen) {
  bool ends;
  for (int look = 0; look < PATIENCE && is_idle(team, seen); look++) breathe();
  if (!is_idle(team, seen)) return true;
  pthread_mutex_lock(&team->lock);
  while (is_idle(team, seen) && !team->ends) pthread_cond_wait(&team->wake, &team->lock);
  ends = team->ends;
  pthread_mutex_unlock(&team->lock);
  return !ends;
}

static void *help(void *argument) {
  const helper *self = argument;
  for (unsigned seen = 0; wait_for_work(self->team, seen);) {
    seen = atomic_load_explicit(&self->team->runs, memory_order_acquire);
    work(self->team, self->member);
  }
  return NULL;
}

static re2na_team *reserve_for(uint32_t members) {
  re2na_team *team = aligned_alloc(RE2NA_LINE, sizeof *team);
  if (!team) return NULL;
  *team = (re2na_team){.members = members, .owner = getpid()};
  team->helpers = calloc(members - 1, sizeof *team->helpers);
  team->queues = aligned_alloc(RE2NA_LINE, members * sizeof *team->queues);
  if (team->helpers && team->queues) {
    for (uint32_t i = 0; i < members; i++) atomic_init(&team->queues[i].ends, 0);
    return team;
  }
  free(team->helpers);
  free(team->queues);
  free(team);
  return NULL;
}

re2na_team *re2na_team_create(uint32_t members) {
  re2na_team *team = reserve_for(members);
  if (!team) return NULL;
  pthread_mutex_init(&team->lock, NULL);
  pthread_cond_init(&team->wake, NULL);
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
  free(team->helpers);
  free(team->queues);
  free(team);
}

uint32_t re2na_team_members(const re2na_team *team) { return team->members; }

void re2na_team_run(re2na_team *team, re2na_task *task, void *job, uint32_t each) {
  const uint32_t shares = each * team->members;
  if (team->owner != getpid()) {
    for (uint32_t share = 0; share < shares; share++) task(job, 0, share);
    return;
  }
  team->task = task;
  team->job = job;
  team->each = each;
  atomic_store_explicit(&team->done, 0, memory_order_relaxed);
  for (uint32_t i = 0; i < team->members; i++)
    atomic_store_explicit(&team->queues[i].ends, ends(0, each), memory_order_release);
  pthread_mutex_lock(&team->lock);
  atomic_fetch_add_explicit(&team->runs, 1, memory_order_release);
  pthread_cond_broadcast(&team->wake);
  pthread_mutex_unlock(&team->lock);
  work(team, 0);
  for (int look = 0; atomic_load_explicit(&team->done, memory_order_acquire) < shares; look++) {
    if (look < PATIENCE) breathe();
    else sched_yield(); /* more threads than processors: a helper waits for this one */
  }
}
