use super::*;

/// The beginning of the weights, and then nothing more.
fn cut_off(seen: &Seen, after: usize) -> Vec<Act> {
    let Act::Write(mut whole) = part(seen, WEIGHTS) else { unreachable!() };
    let body = WEIGHTS.len() - from(seen);
    whole.truncate(whole.len() - body + after);
    vec![Act::Write(whole), Act::Close]
}

#[tokio::test]
async fn a_file_that_breaks_off_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, seen| match is_weights(seen) && from(seen) < 40 {
        true => cut_off(seen, 10),
        false => serve(seen),
    })
    .await;
    let snapshot = pull(&hub(&server, folder.path())).await.unwrap();
    assert_eq!(std::fs::read(snapshot.folder.join("model.safetensors")).unwrap(), WEIGHTS);
    let starts: Vec<usize> = server.seen().iter().filter(|seen| is_weights(seen)).map(from).collect();
    assert_eq!(starts, [0, 10, 20, 30, 40]);
}

#[tokio::test]
async fn what_an_earlier_pull_has_fetched_is_not_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, seen| match is_weights(seen) {
        true if from(seen) == 0 => cut_off(seen, 10),
        true => vec![Act::Reset],
        false => serve(seen),
    })
    .await;
    let error = pull(&hub(&server, folder.path())).await.unwrap_err();
    assert!(error.hint().contains("goes on where it stopped"), "{error}");
    assert!(hub(&server, folder.path()).cache().list().is_empty(), "half a model is no model");

    let server = Server::new(|_, seen| serve(seen)).await;
    pull(&hub(&server, folder.path())).await.unwrap();
    assert_eq!(asked(&server), ["main?blobs=true", "model.safetensors"]);
    assert_eq!(from(&server.seen()[1]), 10);
}

#[tokio::test]
async fn a_hub_that_ignores_the_range_is_read_from_the_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|number, seen| match is_weights(seen) {
        true if number < 5 => cut_off(seen, 10),
        true => vec![part(&Seen { headers: BTreeMap::new(), ..seen.clone() }, WEIGHTS)],
        false => serve(seen),
    })
    .await;
    let snapshot = pull(&hub(&server, folder.path())).await.unwrap();
    assert_eq!(std::fs::read(snapshot.folder.join("model.safetensors")).unwrap(), WEIGHTS);
}

#[tokio::test]
async fn other_bytes_than_were_listed_are_thrown_away_and_said() {
    let folder = tempfile::tempdir().unwrap();
    for body in [vec![b'x'; WEIGHTS.len()], vec![b'x'; WEIGHTS.len() + 1]] {
        let server = Server::new(move |_, seen| match is_weights(seen) {
            true => vec![part(seen, &body)],
            false => serve(seen),
        })
        .await;
        let hub = hub(&server, folder.path());
        let error = pull(&hub).await.unwrap_err();
        assert!(
            matches!(&error, HubError::WrongBytes { file, .. } if file == "model.safetensors"),
            "{error}"
        );
        assert!(error.to_string().contains(&sha256(WEIGHTS)), "{error}");
        assert!(hub.cache().list().is_empty());
    }
    let server = Server::new(|_, seen| serve(seen)).await;
    pull(&hub(&server, folder.path())).await.unwrap();
    assert_eq!(from(server.seen().last().unwrap()), 0, "nothing of the wrong file is left");
}

#[tokio::test]
async fn a_wrong_half_from_before_is_replaced_by_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let part = folder.path().join(format!("hf/o/n/{COMMIT}.part"));
    std::fs::create_dir_all(&part).unwrap();
    std::fs::write(part.join("model.safetensors.part"), b"other bytes").unwrap();
    let server = Server::new(|_, seen| serve(seen)).await;
    let snapshot = pull(&hub(&server, folder.path())).await.unwrap();
    assert_eq!(std::fs::read(snapshot.folder.join("model.safetensors")).unwrap(), WEIGHTS);
}

#[tokio::test]
async fn what_the_hub_refuses_is_told_with_what_to_do() {
    type Row = (u16, &'static str, bool, &'static str, &'static str);
    let rows: [Row; 8] = [
        (404, "RepoNotFound", true, "has no model o/n that HF_TOKEN may see", "check the name"),
        (401, "", false, "has no model o/n that is public", "HF_TOKEN"),
        (404, "RevisionNotFound", true, "has no revision `main`", "whole commit"),
        (403, "GatedRepo", true, "is gated", "with the account of HF_TOKEN"),
        (401, "GatedRepo", false, "is gated", "put a token of that account into HF_TOKEN"),
        (403, "", true, "is gated", "accept them"),
        (410, "", true, "answers with status 410", "goes on where it stopped"),
        (200, "", true, "answers otherwise than a model hub does", "HF_ENDPOINT"),
    ];
    for (status, code, known, said, hint) in rows {
        let folder = tempfile::tempdir().unwrap();
        let server =
            Server::new(move |_, _| vec![Act::json(status, &[("x-error-code", code)], &json!({}))]).await;
        let mut config = config(&server.url(), folder.path());
        config.token = config.token.filter(|_| known);
        let error = pull(&Hub::new(config)).await.unwrap_err();
        assert!(error.to_string().contains(said), "{status} {code}: {error}");
        assert!(error.hint().contains(hint), "{status} {code}: {}", error.hint());
        assert!(!format!("{error} {error:?} {}", error.hint()).contains(TOKEN));
    }
}

#[tokio::test]
async fn a_hub_with_trouble_is_asked_again_and_one_that_wants_rest_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|number, seen| match number {
        0 => vec![Act::json(503, &[], &json!({}))],
        1 => vec![Act::json(429, &[("retry-after", "0")], &json!({}))],
        _ => serve(seen),
    })
    .await;
    pull(&hub(&server, folder.path())).await.unwrap();

    let server = Server::new(|_, _| vec![Act::json(429, &[("retry-after", "3600")], &json!({}))]).await;
    let error = pull(&hub(&server, folder.path())).await.unwrap_err();
    assert!(error.to_string().contains("again in 3600 s"), "{error}");
    assert_eq!(server.seen().len(), 1);

    let server = Server::new(|_, _| vec![Act::json(500, &[], &json!({}))]).await;
    pull(&hub(&server, folder.path())).await.unwrap_err();
    assert_eq!(server.seen().len(), 5, "not for ever");
}

#[tokio::test]
async fn a_redirect_in_a_circle_ends() {
    let folder = tempfile::tempdir().unwrap();
    let server =
        Server::new(|_, seen| vec![Act::json(302, &[("location", seen.path.as_str())], &json!({}))]).await;
    let error = pull(&hub(&server, folder.path())).await.unwrap_err();
    assert!(error.to_string().contains("in a circle"), "{error}");
}

#[tokio::test]
async fn a_commit_that_would_lead_out_of_the_cache_is_refused() {
    for commit in ["../../../x", "", "main"] {
        let folder = tempfile::tempdir().unwrap();
        let listing = json!({"sha": commit, "siblings": listing()["siblings"]});
        let server = Server::new(move |_, _| vec![Act::json(200, &[], &listing)]).await;
        let error = pull(&hub(&server, folder.path())).await.unwrap_err();
        assert!(matches!(error, HubError::NotAHub { .. }), "{error}");
    }
}

#[tokio::test]
async fn nobody_there_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let error = pull(&Hub::new(config("http://127.0.0.1:1", folder.path()))).await.unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }) && error.hint().contains("path:DIR"), "{error}");
}
