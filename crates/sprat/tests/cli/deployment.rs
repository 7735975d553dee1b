//! Canary, shadow, promotion and rollback: what the terminal says, and what a running server does about it.

use serde_json::json;
use sprat_store::{ShadowHour, ShadowSums};
use sprat_task::{ReleaseId, Source, Status, read_task};

use crate::registry::{NOON, TASK, entry, release, workspace};
use crate::served::{Served, wait_for};
use crate::workspace::{Workspace, shows};

/// Releases of no rungs that are bound to the task as it is.
fn add(workspace: &Workspace, statuses: &[Status]) {
    let task = read_task("tickets", &Source::new("t.toml", TASK), |_| Err(String::new())).unwrap();
    for (version, status) in (1..).zip(statuses) {
        let mut release = release(version, *status);
        release.certificate.binding = sprat_learn::release::binding(&task, &[], None);
        release.origin.code_version = env!("CARGO_PKG_VERSION").to_owned();
        workspace.store().registry().add(&release).unwrap();
    }
}

/// What a release saw while it watched.
fn watched(workspace: &Workspace, version: u32, sums: ShadowSums) {
    let release = ReleaseId { task: "tickets".into(), version };
    workspace.store().shadow().add(&[ShadowHour { release, hour: NOON / 3_600_000, sums }]).unwrap();
}

#[test]
fn a_release_is_tried_beside_the_live_one_and_every_step_is_in_the_history() {
    let workspace = workspace();
    add(&workspace, &[Status::Certified, Status::Certified, Status::Certified]);
    assert_eq!(workspace.sprat(&["promote", "tickets", "1"]).code, 0);
    shows!("shadow", workspace.sprat(&["shadow", "tickets", "2"]));
    watched(
        &workspace,
        2,
        ShadowSums {
            requests: 1_200,
            would_answer: 900,
            compared: 850,
            agreed: 833,
            all_compared: 1_100,
            all_agreed: 990,
            skipped: 4,
        },
    );
    shows!("status with a shadow", workspace.sprat(&["status", "tickets"]));
    shows!("canary", workspace.sprat(&["canary", "tickets", "2", "--share", "10%", "--reason", "try"]));
    shows!("canary with more", workspace.sprat(&["canary", "tickets", "--share", "0.5"]));
    assert_eq!(workspace.sprat(&["shadow", "tickets"]).code, 0);
    shows!("status with both", workspace.sprat(&["status", "tickets"]));
    shows!("releases with every role", workspace.sprat(&["releases", "tickets"]));
    let json = workspace.sprat(&["releases", "tickets", "--json"]).json();
    assert_eq!(json["canary"], json!({"release": {"task": "tickets", "version": 2}, "share": 0.5}));
    assert_eq!(json["shadow"], json!({"task": "tickets", "version": 3}));
    assert_eq!(
        (&json["watched"][0]["release"], &json["watched"][0]["coverage"]),
        (&json!("tickets@2"), &json!(0.75))
    );
    shows!("rollback of a canary", workspace.sprat(&["rollback", "tickets", "--reason", "complaints"]));
    shows!("end of the shadow", workspace.sprat(&["shadow", "tickets", "--end"]));
    let json = workspace.sprat(&["status", "tickets", "--json"]).json();
    let standing = &json["tasks"][0];
    assert_eq!(
        (&standing["live"], &standing["canary"], &standing["shadow"]),
        (&json!("tickets@1"), &json!(null), &json!(null))
    );
    shows!("end of no canary", workspace.sprat(&["canary", "tickets", "--end"]));
    shows!("end of no shadow", workspace.sprat(&["shadow", "tickets", "--end"]));
}

#[test]
fn status_says_what_the_live_release_would_have_answered_and_saved_in_shadow() {
    let workspace = workspace();
    add(&workspace, &[Status::Certified]);
    assert_eq!(workspace.sprat(&["promote", "tickets", "1"]).code, 0);
    let standing = || workspace.sprat(&["status", "tickets", "--json"]).json()["tasks"][0].clone();
    assert!(standing().get("in_shadow").is_none(), "it has watched nothing");
    let mut sums = ShadowSums { requests: 400, would_answer: 300, ..ShadowSums::default() };
    watched(&workspace, 1, sums);
    let seen = standing()["in_shadow"].clone();
    assert_eq!((&seen["release"], &seen["coverage"]), (&json!("tickets@1"), &json!(0.75)));
    assert_eq!(seen.get("would_save_micro_usd"), None, "no price is known, so that no amount is");
    for (id, price) in [("a", Some(1_000)), ("b", Some(3_000)), ("c", None)] {
        workspace.store().ledger().append(&entry(id, false, price, price)).unwrap();
    }
    sums = ShadowSums { compared: 200, agreed: 190, all_compared: 250, all_agreed: 220, ..sums };
    watched(&workspace, 1, sums);
    // Twice the sums, each answer at the mean of the two prices that are known.
    assert_eq!(standing()["in_shadow"]["would_save_micro_usd"], 600 * 2_000);
    shows!("status in shadow", workspace.sprat(&["status", "tickets"]));
}

#[test]
fn what_cannot_be_tried_is_refused_with_the_next_step() {
    let workspace = workspace();
    shows!("canary of nothing", workspace.sprat(&["canary", "tickets", "--share", "10%"]));
    add(&workspace, &[Status::Certified, Status::Underpowered]);
    assert_eq!(workspace.sprat(&["promote", "tickets", "1"]).code, 0);
    shows!("canary that may not answer", workspace.sprat(&["canary", "tickets", "2", "--share", "10%"]));
    shows!("canary that is live", workspace.sprat(&["canary", "tickets", "1", "--share", "10%"]));
    shows!("canary without a share", workspace.sprat(&["canary", "tickets", "2"]));
    shows!("canary of ten", workspace.sprat(&["canary", "tickets", "2", "--share", "10"]));
    shows!("shadow that may not answer", workspace.sprat(&["shadow", "tickets", "2"]));
    shows!("shadow that is live", workspace.sprat(&["shadow", "tickets", "1"]));
}

#[test]
fn a_running_server_takes_up_every_change_without_a_restart() {
    let workspace = Workspace::learned();
    let rows = workspace.read("rows.jsonl");
    let fewer: Vec<&str> = rows.lines().take(rows.lines().count() * 9 / 10).collect();
    workspace.write("fewer.jsonl", fewer.join("\n"));
    let ran = workspace.sprat(&["learn", "tickets", "fewer.jsonl", "--require-certified", "--json"]);
    assert_eq!(ran.json()["release"], "tickets@2", "{ran}");
    let run = |arguments: &[&str]| {
        let ran = workspace.sprat(arguments);
        assert_eq!(ran.code, 0, "{ran}");
    };
    let served = Served::start(&workspace);
    assert_eq!(served.release("ann"), "tickets@1");

    run(&["shadow", "tickets", "2"]);
    let standing = wait_for("something watched", || {
        assert_eq!(served.release("ann"), "tickets@1");
        let json = workspace.sprat(&["status", "tickets", "--json"]).json();
        let standing = json["tasks"][0].clone();
        (standing["shadow"]["requests"].as_u64() > Some(0)).then_some(standing)
    });
    assert_eq!(standing["shadow"]["release"], "tickets@2");
    assert_eq!(
        (&standing["shadow"]["coverage"], &standing["shadow"]["agreement"]),
        (&json!(1.0), &json!(1.0))
    );

    run(&["canary", "tickets", "2", "--share", "100%"]);
    served.until("ann", "tickets@2");
    let readiness = Served::send(served.operators, "GET /health/readiness", "");
    assert!(readiness.contains("\"share\":1.0") && readiness.contains("\"tickets@1\""), "{readiness}");

    run(&["rollback", "tickets"]);
    served.until("ann", "tickets@1");
    run(&["promote", "tickets", "2"]);
    served.until("ann", "tickets@2");
    run(&["rollback", "tickets"]);
    served.until("ann", "tickets@1");
}
