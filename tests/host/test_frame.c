/* sources: mm/?*.c tests/host/fake.c */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Frame descriptors: every cell of state x operation, conditions, blocks, and the table in docs/.
 * `build/host/test_frame --markdown` prints that table. */
#include "tests/host/fake.h"

#define SUBJECT 1000ul /* the frame that the tests push around */
#define OWNER	5u
#define POOL_ID 3u
#define GFN	0x123456789ul

/* What the table has to say, written a second time by hand: the state that follows, or '-'.
 * Columns: Absent Septum Root Offered pOol Private Table obJect Inplace lost (X). */
static const char state_letters[] = "ASROLPTJIX";
static const struct {
	enum frame_op op;
	const char *to;
} expected[] = {
	{FRAME_OP_ADD, "R---------"},	       {FRAME_OP_CLAIM, "SSS-------"},
	{FRAME_OP_DONATE, "--L-------"},       {FRAME_OP_RECLAIM, "----R-----"},
	{FRAME_OP_TAKE_PRIVATE, "----P-----"}, {FRAME_OP_TAKE_TABLE, "----T-----"},
	{FRAME_OP_TAKE_OBJECT, "----J-----"},  {FRAME_OP_GIVE, "-----LLL--"},
	{FRAME_OP_OFFER, "--O-------"},	       {FRAME_OP_WITHDRAW, "---R------"},
	{FRAME_OP_HIDE, "---I------"},	       {FRAME_OP_REVEAL, "--------O-"},
	{FRAME_OP_PIN, "--R-------"},	       {FRAME_OP_UNPIN, "--R-------"},
	{FRAME_OP_USE, "--RO------"},	       {FRAME_OP_LOSE, "-----X-X--"},
};
_Static_assert(ARRAY_COUNT(expected) == FRAME_OPS, "a row for each operation");
_Static_assert(sizeof(state_letters) - 1 == FRAME_STATES, "a letter for each state");

static bool change(enum frame_op op, u16 owner, u64 arg)
{
	return frame_change(op, pfn(SUBJECT), owner, arg);
}

/* Brings the (root) subject into `state` by legal steps. */
static void bring(enum frame_state state)
{
	bool done = true;

	switch (state) {
	case FRAME_ABSENT:
		fail();
		break;
	case FRAME_SEPTUM:
		done = change(FRAME_OP_CLAIM, 0, 0);
		break;
	case FRAME_ROOT:
		break;
	case FRAME_OFFERED:
		done = change(FRAME_OP_OFFER, OWNER, GFN);
		break;
	case FRAME_POOL:
		done = change(FRAME_OP_DONATE, POOL_ID, 0);
		break;
	case FRAME_PRIVATE:
		done = change(FRAME_OP_DONATE, POOL_ID, 0) &&
		       change(FRAME_OP_TAKE_PRIVATE, OWNER, GFN);
		break;
	case FRAME_TABLE:
		done = change(FRAME_OP_DONATE, POOL_ID, 0) && change(FRAME_OP_TAKE_TABLE, OWNER, 0);
		break;
	case FRAME_OBJECT:
		done = change(FRAME_OP_DONATE, POOL_ID, 0) &&
		       change(FRAME_OP_TAKE_OBJECT, OWNER, 0);
		break;
	case FRAME_INPLACE:
		done = change(FRAME_OP_OFFER, OWNER, GFN) && change(FRAME_OP_HIDE, OWNER, GFN);
		break;
	case FRAME_LOST:
		done = change(FRAME_OP_DONATE, POOL_ID, 0) &&
		       change(FRAME_OP_TAKE_OBJECT, OWNER, 0) && change(FRAME_OP_LOSE, OWNER, 0);
		break;
	default:
		fail();
	}
	assert_true(done);
}

static u16 owner_for(enum frame_op op)
{
	return op == FRAME_OP_RECLAIM || op == FRAME_OP_DONATE ? POOL_ID : OWNER;
}

static u64 arg_for(enum frame_op op)
{
	return op == FRAME_OP_GIVE ? POOL_ID : GFN;
}

static bool same(struct frame a, struct frame b)
{
	return a.state == b.state && a.level == b.level && a.owner == b.owner && a.arg == b.arg;
}

static void each_cell_of_state_and_operation(void **state)
{
	(void)state;
	for (unsigned row = 0; row < FRAME_OPS; row++) {
		enum frame_op op = expected[row].op;

		assert_int_equal(op, row);
		for (unsigned s = FRAME_ABSENT; s < FRAME_STATES; s++) {
			char to = expected[row].to[s];
			struct frame before, after;
			u64 subject = SUBJECT;
			bool done;

			fake_start(2048, &nested_format_npt);
			if (s == FRAME_ABSENT) {
				/* None of RAM is; a descriptor of the last, partly filled block. */
				fake_stop();
				fake_start(2048 + 100, &nested_format_npt);
				subject = 2048 + 200;
			} else {
				bring(s);
			}
			if (op == FRAME_OP_UNPIN && s == FRAME_ROOT)
				assert_true(change(FRAME_OP_PIN, 0, 0));
			before = frame_get(pfn(subject));
			assert_int_equal(before.state, s);
			done = frame_change(op, pfn(subject), owner_for(op), arg_for(op));
			after = frame_get(pfn(subject));
			if (done != (to != '-') ||
			    (done ? state_letters[after.state] != to : !same(before, after)))
				fail_msg("%u in %s: %s", op, frame_state_name(s),
					 frame_state_name(after.state));
			assert_true(done == (frame_cells[op][s].condition != FRAME_REFUSED));
			fake_stop();
		}
	}
}

static void conditions_refuse(void **state)
{
	struct frame frame;

	(void)state;
	fake_start(2048, &nested_format_npt);
	assert_false(change(FRAME_OP_UNPIN, 0, 0));
	assert_true(change(FRAME_OP_PIN, 0, 0));
	assert_true(change(FRAME_OP_PIN, 0, 0));
	assert_int_equal(frame_get(pfn(SUBJECT)).arg, 2);
	assert_false(change(FRAME_OP_DONATE, POOL_ID, 0));
	assert_false(change(FRAME_OP_OFFER, OWNER, GFN));
	assert_false(change(FRAME_OP_CLAIM, 0, 0));
	assert_true(change(FRAME_OP_UNPIN, 0, 0));
	assert_true(change(FRAME_OP_UNPIN, 0, 0));
	assert_false(change(FRAME_OP_UNPIN, 0, 0));
	assert_true(change(FRAME_OP_OFFER, OWNER, GFN));
	assert_false(change(FRAME_OP_HIDE, OWNER + 1, GFN));
	assert_false(change(FRAME_OP_HIDE, OWNER, GFN + 1));
	assert_false(change(FRAME_OP_WITHDRAW, OWNER + 1, 0));
	assert_true(change(FRAME_OP_HIDE, OWNER, GFN));
	assert_false(change(FRAME_OP_REVEAL, OWNER + 1, GFN));
	assert_false(change(FRAME_OP_REVEAL, OWNER, GFN + 1));
	assert_true(change(FRAME_OP_REVEAL, OWNER, GFN));
	assert_true(change(FRAME_OP_WITHDRAW, OWNER, 0));
	assert_true(change(FRAME_OP_DONATE, POOL_ID, 0));
	assert_false(change(FRAME_OP_RECLAIM, POOL_ID + 1, 0));
	assert_true(change(FRAME_OP_TAKE_PRIVATE, OWNER, GFN));
	frame = frame_get(pfn(SUBJECT));
	assert_int_equal(frame.owner, OWNER);
	assert_int_equal(frame.arg, GFN);
	assert_false(change(FRAME_OP_GIVE, OWNER + 1, POOL_ID));
	assert_true(change(FRAME_OP_GIVE, OWNER, POOL_ID));
	assert_int_equal(frame_get(pfn(SUBJECT)).owner, POOL_ID);
	assert_true(change(FRAME_OP_RECLAIM, POOL_ID, 0));
	assert_false(frame_change(FRAME_OP_PIN, pfn(1ul << 40), 0, 0));
	assert_false(frame_use(pfn(1ul << 40)));
	fake_stop();
}

static void pins_are_counted_up_to_their_limit(void **state)
{
	u64 i = 0;

	(void)state;
	fake_start(2048, &nested_format_npt);
	while (i < FRAME_PINS_MAX && change(FRAME_OP_PIN, 0, 0))
		i++;
	assert_int_equal(i, FRAME_PINS_MAX);
	assert_false(change(FRAME_OP_PIN, 0, 0));
	assert_int_equal(root_pin(pfn(SUBJECT - 1), 2), E_LIMIT);
	assert_int_equal(frame_get(pfn(SUBJECT - 1)).arg, 0);
	fake_stop();
}

static void a_block_has_one_descriptor_and_splits_into_512(void **state)
{
	struct frame frame;
	u64 head = 512;

	(void)state;
	fake_start(2048, &nested_format_npt);
	for (u64 p = head; p < head + 512; p++) {
		assert_false(frame_join(pfn(head)));
		assert_true(frame_change(FRAME_OP_DONATE, pfn(p), POOL_ID, 0));
	}
	assert_true(frame_join(pfn(head)));
	assert_false(frame_join(pfn(head)));
	assert_int_equal(frame_block_root(pfn(head)), 0);
	assert_int_equal(frame_get(pfn(head + 77)).level, LEVEL_2M);
	assert_false(frame_change(FRAME_OP_TAKE_PRIVATE, pfn(head + 77), OWNER, GFN));
	assert_false(frame_change(FRAME_OP_TAKE_PRIVATE, pfn(head), OWNER, GFN));
	assert_false(frame_change_block(FRAME_OP_TAKE_PRIVATE, pfn(head + 1), OWNER, GFN));
	assert_false(frame_change_block(FRAME_OP_RECLAIM, pfn(head), POOL_ID, 0));
	assert_false(frame_use(pfn(head + 77)));
	assert_true(frame_change_block(FRAME_OP_TAKE_PRIVATE, pfn(head), OWNER, 1024));
	frame = frame_get(pfn(head + 77));
	assert_int_equal(frame.state, FRAME_PRIVATE);
	assert_int_equal(frame.arg, 1024 + 77);
	frame_split(pfn(head));
	frame = frame_get(pfn(head + 77));
	assert_int_equal(frame.level, LEVEL_4K);
	assert_int_equal(frame.arg, 1024 + 77);
	assert_int_equal(frame.owner, OWNER);
	assert_true(frame_change(FRAME_OP_GIVE, pfn(head + 77), OWNER, POOL_ID));
	assert_false(frame_join(pfn(head)));
	assert_true(frame_change(FRAME_OP_TAKE_PRIVATE, pfn(head + 77), OWNER, 1024 + 78));
	assert_false(frame_join(pfn(head)));
	assert_true(frame_change(FRAME_OP_GIVE, pfn(head + 77), OWNER, POOL_ID));
	assert_true(frame_change(FRAME_OP_TAKE_PRIVATE, pfn(head + 77), OWNER, 1024 + 77));
	assert_true(frame_join(pfn(head)));
	fake_stop();
}

static void a_run_is_given_only_if_each_frame_is_what_is_said(void **state)
{
	u64 head = 512;

	(void)state;
	fake_start(2048, &nested_format_npt);
	for (u64 p = head; p < head + 512; p++)
		assert_true(frame_change(FRAME_OP_DONATE, pfn(p), POOL_ID, 0));
	/* Taken from the pool that is named, if it is a free frame of its own. */
	assert_false(frame_take(FRAME_OP_TAKE_PRIVATE, pfn(head), POOL_ID + 1, OWNER, GFN));
	assert_false(frame_take(FRAME_OP_HIDE, pfn(head), POOL_ID, OWNER, GFN));
	assert_false(frame_take(FRAME_OP_TAKE_PRIVATE, pfn(head + 512), POOL_ID, OWNER, GFN));
	for (u64 i = 0; i < 6; i++)
		assert_true(
			frame_take(FRAME_OP_TAKE_PRIVATE, pfn(head + i), POOL_ID, OWNER, GFN + i));
	assert_false(frame_take(FRAME_OP_TAKE_PRIVATE, pfn(head), POOL_ID, OWNER, GFN));
	assert_true(frame_take(FRAME_OP_TAKE_TABLE, pfn(head + 6), POOL_ID, OWNER, 0));

	assert_false(frame_give(FRAME_PRIVATE, pfn(head), 6, OWNER + 1, GFN, POOL_ID));
	assert_false(frame_give(FRAME_PRIVATE, pfn(head), 6, OWNER, GFN + 1, POOL_ID));
	assert_false(frame_give(FRAME_TABLE, pfn(head), 6, OWNER, GFN, POOL_ID));
	assert_false(frame_give(FRAME_POOL, pfn(head + 9), 1, POOL_ID, 0, POOL_ID));
	assert_false(frame_give(FRAME_ROOT, pfn(head + 512), 1, 0, 0, POOL_ID));
	for (u64 i = 0; i < 6; i++)
		assert_int_equal(frame_get(pfn(head + i)).state, FRAME_PRIVATE);
	/* The seventh is not private. */
	assert_false(frame_give(FRAME_PRIVATE, pfn(head), 7, OWNER, GFN, POOL_ID));
	assert_int_equal(frame_get(pfn(head + 5)).state, FRAME_POOL);
	assert_int_equal(frame_get(pfn(head + 6)).state, FRAME_TABLE);
	assert_true(frame_give(FRAME_TABLE, pfn(head + 6), 1, OWNER, 0, POOL_ID));

	/* All are free: one descriptor, and no single one can be taken. */
	frame_join_free(pfn(head));
	assert_int_equal(frame_get(pfn(head + 6)).level, LEVEL_2M);
	assert_int_equal(frame_get(pfn(head + 6)).state, FRAME_POOL);
	assert_false(frame_take(FRAME_OP_TAKE_PRIVATE, pfn(head + 3), POOL_ID, OWNER, GFN));
	assert_true(frame_change_block(FRAME_OP_TAKE_PRIVATE, pfn(head), OWNER, 1024));
	assert_false(frame_give(FRAME_PRIVATE, pfn(head), 1, OWNER, 1024, POOL_ID));
	fake_stop();
}

static void the_root_sees_what_its_count_says(void **state)
{
	(void)state;
	fake_start(2048, &nested_format_npt);
	assert_int_equal(frame_block_root(pfn(SUBJECT)), 512);
	bring(FRAME_INPLACE);
	assert_int_equal(frame_block_root(pfn(SUBJECT)), 511);
	assert_false(frame_use(pfn(SUBJECT)));
	assert_true(change(FRAME_OP_REVEAL, OWNER, GFN));
	assert_int_equal(frame_block_root(pfn(SUBJECT)), 512);
	assert_true(frame_use(pfn(SUBJECT)));
	frame_unlock(pfn(SUBJECT));
	fake_stop();
}

/* ---- docs/frame-states.md */

static void markdown(FILE *to)
{
	static const char *const states[][2] = {
#define X(name, text) {#name, text},
		FRAME_STATE_LIST(X)
#undef X
	};
	static const char *const ops[][2] = {
#define X(name, text) {#name, text},
		FRAME_OP_LIST(X)
#undef X
	};
	static const char *const conditions[] = {"", "", ", unpinned", ", pinned",
						 ", by its owner"};

	fprintf(to, "# Frames: states and operations\n\n"
		    "Made from `mm/frame_table.h` by `build/host/test_frame --markdown`; the host "
		    "tests "
		    "compare.\n\n"
		    "| state | meaning |\n| --- | --- |\n");
	for (unsigned s = 0; s < FRAME_STATES; s++)
		fprintf(to, "| %s | %s |\n", states[s][0], states[s][1]);
	fprintf(to, "\nWhat an operation makes of a frame; an empty cell is refused and changes "
		    "nothing.\n\n| operation |");
	for (unsigned s = 0; s < FRAME_STATES; s++)
		fprintf(to, " %s |", states[s][0]);
	fprintf(to, "\n|");
	for (unsigned s = 0; s <= FRAME_STATES; s++)
		fprintf(to, " --- |");
	for (unsigned op = 0; op < FRAME_OPS; op++) {
		fprintf(to, "\n| %s: %s |", ops[op][0], ops[op][1]);
		for (unsigned s = 0; s < FRAME_STATES; s++) {
			const struct frame_cell *cell = &frame_cells[op][s];

			if (cell->condition == FRAME_REFUSED)
				fprintf(to, " |");
			else
				fprintf(to, " %s%s |", states[cell->to][0],
					conditions[cell->condition]);
		}
	}
	fprintf(to, "\n");
}

static void the_documentation_has_the_same_table(void **state)
{
	static char found[16384];
	FILE *file = fopen("docs/frame-states.md", "r");
	char *wanted = NULL;
	size_t size = 0;
	FILE *memory = open_memstream(&wanted, &size);

	(void)state;
	assert_non_null(file);
	assert_non_null(memory);
	found[fread(found, 1, sizeof(found) - 1, file)] = 0;
	fclose(file);
	markdown(memory);
	fclose(memory);
	assert_string_equal(found, wanted);
	free(wanted);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_cell_of_state_and_operation),
		cmocka_unit_test(conditions_refuse),
		cmocka_unit_test(pins_are_counted_up_to_their_limit),
		cmocka_unit_test(a_block_has_one_descriptor_and_splits_into_512),
		cmocka_unit_test(a_run_is_given_only_if_each_frame_is_what_is_said),
		cmocka_unit_test(the_root_sees_what_its_count_says),
		cmocka_unit_test(the_documentation_has_the_same_table),
	};

	if (argc > 1 && strcmp(argv[1], "--markdown") == 0) {
		markdown(stdout);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
