/* SPDX-License-Identifier: BSD-2-Clause */
/* The conversion protocol as a model for spin: two vCPUs on two CPUs touch and convert one page, a
 * manager decides, a conversion flushes the other CPU before the frame is used again.
 *
 *   frame[k]  generation of the frame behind the page's side k; it grows when the frame is given away
 *   tlb       a CPU's cached translation of a side: a generation, or 0
 *   stamp     of the page; an event carries the stamp that its vCPU saw
 *
 * What must hold:
 *   reuse     no access goes through a translation to a frame that has been given away
 *   newest    a verdict changes the page only if the page has not been changed since the vCPU raised
 *             the event (`fresh` is a ghost that knows it without stamps)
 *   progress  no vCPU faults for ever on the same access (search for non-progress cycles)
 *
 * Broken variants, each of which must have a counterexample: -DBLIND_RETRY (a retry that changed
 * nothing is accepted), -DNO_STAMP (verdicts are not compared with the page's stamp), -DNO_FLUSH
 * (the frame is given away while another CPU may still hold its translation).
 */
#define VCPUS 2
#ifndef OPS
#define OPS 2 /* accesses or requests of each vCPU */
#endif
/* Two vCPUs that want one page both ways can steal it from each other for as long as the manager says
 * yes to both: that is its policy to end, and it does here, after so many conversions. */
#define STAMP_MAX 5

#define SHARED	0
#define PRIVATE 1

mtype = { NONE, IMPLICIT, EXPLICIT };
mtype:answer = { NO_ANSWER, CONVERT, DENY, RETRY };

bit attribute = SHARED;
byte stamp = 1;
byte frame[2] = 1;
bit lock = 0;

typedef vcpu_state {
	byte tlb[2];	 /* by side */
	bit in_guest;
	mtype waits;	 /* what event is outstanding */
	bit side;	 /* the side accessed or asked for */
	byte seen;	 /* stamp of the event */
	bit fresh;	 /* ghost: no conversion since the event was raised */
	mtype:answer answer;
}
vcpu_state vcpu[VCPUS];
byte finished = 0;

inline take(l)
{
	atomic { l == 0 -> l = 1 }
}

inline raise(kind)
{
	atomic {
		vcpu[me].in_guest = 0;
		vcpu[me].seen = stamp;
		vcpu[me].fresh = 1;
		vcpu[me].answer = NO_ANSWER;
		vcpu[me].waits = kind
	}
}

/* Under the lock: turn the page to side `to`. The other CPU is kicked and waited for. */
inline convert(to)
{
	if
	:: attribute == to -> skip
	:: else ->
		assert(vcpu[me].fresh);
		vcpu[me].tlb[1 - to] = 0;
#ifndef NO_FLUSH
		(vcpu[1 - me].in_guest == 0); /* kicked out of the guest, it stays out: see enter */
		vcpu[1 - me].tlb[1 - to] = 0;
#endif
		atomic {
			frame[1 - to]++; /* zeroed, and another's from now on */
			attribute = to;
			stamp++;
			vcpu[0].fresh = 0;
			vcpu[1].fresh = 0
		}
	fi
}

/* The vCPU's CPU applies the manager's answer; `done`: the access or request is over. */
inline apply()
{
	take(lock);
	if
	:: vcpu[me].answer == CONVERT ->
		if
#ifndef NO_STAMP
		:: stamp > vcpu[me].seen && vcpu[me].waits == IMPLICIT -> skip /* stale: look again */
		:: stamp > vcpu[me].seen && vcpu[me].waits == EXPLICIT -> vcpu[me].seen = stamp;
			vcpu[me].fresh = 1; /* the guest's own request is made anew on today's state */
			convert(vcpu[me].side); done = 1
		:: else ->
#else
		:: true ->
#endif
			convert(vcpu[me].side);
			if
			:: vcpu[me].waits == EXPLICIT -> done = 1
			:: else -> skip
			fi
		fi
	:: vcpu[me].answer == DENY -> done = 1 /* the guest sees an error */
	:: vcpu[me].answer == RETRY -> skip
	fi;
	vcpu[me].waits = NONE;
	lock = 0
}

proctype cpu(byte me)
{
	byte left = OPS;
	bit side;
	bit explicit_one;
	bit done;

	do
	:: left == 0 -> break
	:: else ->
		if
		:: side = SHARED
		:: side = PRIVATE
		fi;
		if
		:: explicit_one = 0
		:: explicit_one = 1
		fi;
		done = 0;
		vcpu[me].side = side;
		do
		:: done -> break
		:: !done && explicit_one ->
			raise(EXPLICIT);
			(vcpu[me].answer != NO_ANSWER);
			apply()
		:: !done && !explicit_one ->
			/* Enter; never while another CPU is converting (it would be kicked at once). */
			atomic { lock == 0 -> vcpu[me].in_guest = 1 };
			if
			:: vcpu[me].tlb[side] != 0 -> /* through the TLB, without looking at any table */
				assert(vcpu[me].tlb[side] == frame[side]);
				done = 1
			:: vcpu[me].tlb[side] == 0 ->
				atomic {
					if
					:: attribute == side -> vcpu[me].tlb[side] = frame[side]
					:: else -> skip
					fi
				};
				if
				:: vcpu[me].tlb[side] != 0 ->
					assert(vcpu[me].tlb[side] == frame[side]);
					done = 1
				:: else ->
					raise(IMPLICIT);
					(vcpu[me].answer != NO_ANSWER);
					apply()
				fi
			fi;
			vcpu[me].in_guest = 0
		od;
progress_access:
		left--
	od;
	finished++
}

inline decide(i)
{
	if
	:: stamp < STAMP_MAX -> vcpu[i].answer = CONVERT
	:: vcpu[i].answer = DENY
	/* RETRY is accepted only if something changed since the event. */
	:: vcpu[i].waits == IMPLICIT && stamp > vcpu[i].seen -> vcpu[i].answer = RETRY
#ifdef BLIND_RETRY
	:: vcpu[i].waits == IMPLICIT -> vcpu[i].answer = RETRY
#endif
	fi
}

/* The manager answers outstanding events in any order, with anything. */
active proctype manager()
{
end:	do
	:: atomic { vcpu[0].waits != NONE && vcpu[0].answer == NO_ANSWER -> decide(0) }
	:: atomic { vcpu[1].waits != NONE && vcpu[1].answer == NO_ANSWER -> decide(1) }
	:: finished == VCPUS -> break
	od
}

init
{
	atomic {
		vcpu[0].waits = NONE;
		vcpu[1].waits = NONE;
		run cpu(0);
		run cpu(1)
	}
}
