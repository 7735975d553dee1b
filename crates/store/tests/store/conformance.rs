//! What every store must do, whatever it stores in. A backend is a way to open an empty workspace, and the same
//! workspace again.

mod audits;
mod calls;
mod captured;
mod datasets;
mod feedback;
mod jobs;
mod keys;
mod ledger;
mod notices;
mod registry;
mod review;
mod runs;
mod shadow;
mod teacher;

use sprat_store::Store;

use crate::samples::Workspace;

/// A workspace on some backend.
pub trait Backend {
    /// Opens it; several may be open at once.
    fn open(&self) -> Store;
}

impl Backend for Workspace {
    fn open(&self) -> Store {
        Workspace::open(self)
    }
}

/// Runs each check on an empty workspace of each backend.
macro_rules! conformance {
    ($($file:ident: $($check:ident),+ $(,)?;)+) => {
        mod sqlite {
            $(mod $file {
                $(#[test]
                fn $check() {
                    crate::conformance::$file::$check(&crate::samples::Workspace::new());
                })+
            })+
        }
    };
}

conformance! {
    ledger:
        an_entry_comes_back_as_it_was,
        sums_are_exact_and_unknown_is_counted_apart,
        periods_tasks_and_spending_are_told_apart,
        models_are_summed_by_their_steps,
        days_are_told_apart,
        hours_are_told_apart,
        records_are_found_by_task_and_ending_a_page_at_a_time,
        the_weakest_provenance_stands_for_all,
        what_was_appended_is_seen_by_the_next_question,
        an_audit_stands_beside_its_request,
        ten_threads_lose_nothing,
        keys_are_charged_what_is_known_and_what_is_held;
    registry:
        versions_are_never_given_twice,
        a_release_comes_back_as_it_was,
        another_release_of_the_same_number_is_refused,
        rollback_goes_back_step_by_step_and_then_says_why_not,
        promoting_what_is_live_changes_nothing,
        what_isn_t_there_is_said_by_name,
        a_certificate_s_earlier_states_are_kept,
        guarantees_are_never_mixed,
        the_generation_grows_with_every_change,
        a_canary_and_a_shadow_stand_beside_the_live_release,
        a_release_has_one_role_at_a_time,
        what_stands_beside_is_only_what_can;
    shadow:
        what_a_release_saw_is_summed_over_hours,
        nothing_seen_is_no_share;
    datasets:
        fresh_rows_begin_at_one_and_reused_ones_go_on,
        rows_are_shared_with_the_latest_look_that_has_them,
        guarantees_and_tasks_are_counted_apart,
        a_look_counts_before_it_ends,
        asking_takes_no_look,
        a_row_that_comes_twice_is_one_row;
    teacher:
        what_was_bought_is_found_in_order,
        the_first_answer_stays_unless_there_was_none,
        another_prompt_is_another_answer;
    runs:
        a_run_goes_on_where_it_stopped,
        other_options_are_another_run,
        a_row_done_twice_stays_as_it_was,
        rows_come_back_in_order_across_pages,
        a_run_is_worked_on_by_one_at_a_time,
        a_forgotten_run_begins_anew;
    calls:
        the_same_call_is_imported_once,
        calls_come_back_in_order_and_filtered,
        a_hundred_thousand_calls_go_in_and_out,
        forgetting_leaves_no_text;
    captured:
        rows_come_back_as_they_were_in_order_and_of_one_task,
        what_is_old_is_forgotten_and_leaves_no_text,
        what_users_said_stands_beside_the_text_it_was_about,
        texts_are_found_by_their_digests_as_long_as_they_are_kept,
        records_that_people_gave_go_with_their_texts_and_thumbs_stay;
    review:
        the_most_urgent_comes_first,
        a_text_is_queued_once,
        a_row_drawn_at_random_later_counts_as_random,
        a_label_takes_a_row_off_the_queue,
        a_label_that_is_taken_back_puts_the_row_where_it_was,
        what_was_skipped_is_passed_over,
        texts_of_requests_are_forgotten_and_labels_stay_without_their_words;
    feedback:
        feedback_stands_beside_the_request,
        feedback_on_an_unknown_request_is_kept_and_said;
    notices:
        a_notice_waits_until_it_is_sent;
    keys:
        a_key_comes_back_as_it_was,
        a_name_is_never_given_twice,
        a_revoked_key_stays_revoked,
        the_key_generation_grows_with_every_change;
    jobs:
        jobs_are_claimed_in_order_and_once,
        a_dead_worker_s_job_goes_to_another,
        a_living_worker_keeps_its_job,
        a_job_is_tried_as_often_as_it_may_be,
        a_job_whose_workers_all_die_is_given_up;
    audits:
        audits_come_back_in_the_order_in_which_they_were_drawn,
        a_person_s_label_of_an_audited_answer_is_found_beside_it,
        what_was_kept_back_is_no_answer_that_was_given,
        a_part_is_taken_away_once_and_comes_back_in_stages;
}
