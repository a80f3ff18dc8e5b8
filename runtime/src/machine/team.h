/* Threads that help with one instruction at a time. */
#ifndef RE2NA_TEAM_H
#define RE2NA_TEAM_H

#include "base/base.h"

typedef struct re2na_team re2na_team;
typedef void re2na_task(void *job, uint32_t member, uint32_t share); /* member: 0 is the caller, 1.. the helpers */

/* NULL where the host has no memory or no threads left. `members` >= 2, the caller included. */
re2na_team *re2na_team_create(uint32_t members);
void re2na_team_free(re2na_team *team);
uint32_t re2na_team_members(const re2na_team *team);
/* Runs `task` once for each share, of which every member has `each`: those of member m are m * each and what follows.
 * Returns when all are done. A member takes its own from the first to the last, then others' from the last on. */
void re2na_team_run(re2na_team *team, re2na_task *task, void *job, uint32_t each);

#endif
