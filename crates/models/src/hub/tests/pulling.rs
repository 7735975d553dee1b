use std::sync::Mutex;

use super::*;

#[tokio::test]
async fn a_model_comes_whole_and_checked_and_is_not_fetched_twice() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, seen| serve(seen)).await;
    let hub = hub(&server, folder.path());
    let told = Mutex::new(Vec::new());
    let snapshot = hub.pull(&repository("o/n"), &|fetched| told.lock().unwrap().push(fetched)).await.unwrap();
    assert_eq!(snapshot.commit, COMMIT);
    assert_eq!(snapshot.revisions, ["main"]);
    for (name, bytes) in files().iter().filter(|(name, _)| **name != "README.md") {
        assert_eq!(&std::fs::read(snapshot.folder.join(name)).unwrap(), bytes, "{name}");
    }
    assert!(!snapshot.folder.join("README.md").exists());
    let told = told.into_inner().unwrap();
    assert!(told.is_sorted_by_key(|fetched| fetched.done));
    assert_eq!(told.last().unwrap().done, snapshot.size());
    assert_eq!(told.last().unwrap().total, snapshot.size());

    let before = asked(&server).len();
    pull(&hub).await.unwrap();
    assert_eq!(asked(&server)[before..], ["main?blobs=true"]);
    let again = hub.resolve(&"hf:o/n".parse().unwrap(), Path::new("."), &|_| ()).await.unwrap();
    assert_eq!(again, snapshot.folder);
    assert_eq!(asked(&server).len(), before + 1, "what is here needs no question");
}

#[tokio::test]
async fn the_token_goes_to_the_hub_and_not_to_where_it_redirects() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Server::new(|_, seen| vec![part(seen, WEIGHTS)]).await;
    let elsewhere = format!("{}/signed?x=y", storage.url());
    let server = Server::new(move |_, seen| match is_weights(seen) {
        true => vec![Act::json(302, &[("location", &elsewhere), ("x-linked-size", "52")], &json!({}))],
        false => serve(seen),
    })
    .await;
    let snapshot = pull(&hub(&server, folder.path())).await.unwrap();
    assert_eq!(std::fs::read(snapshot.folder.join("model.safetensors")).unwrap(), WEIGHTS);
    let bearer = format!("Bearer {TOKEN}");
    assert!(server.seen().iter().all(|seen| seen.headers.get("authorization") == Some(&bearer)));
    assert_eq!(storage.seen().len(), 1);
    assert!(storage.seen().iter().all(|seen| !seen.headers.contains_key("authorization")));
}

#[tokio::test]
async fn a_revision_is_asked_for_by_its_whole_name_and_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, seen| serve(seen)).await;
    let hub = hub(&server, folder.path());
    let snapshot = hub.pull(&repository("o/n@refs/pr/7"), &|_| ()).await.unwrap();
    assert!(
        server.seen()[0].path.contains("/api/models/o/n/revision/refs%2Fpr%2F7?"),
        "{:?}",
        server.seen()[0]
    );
    assert_eq!(snapshot.revisions, ["refs/pr/7"]);
    assert!(hub.cache().find(&repository("o/n")).is_none(), "main was never pulled");
    let pinned = hub.cache().find(&repository(&format!("o/n@{COMMIT}"))).unwrap();
    assert_eq!(pinned.folder, snapshot.folder);
}

#[tokio::test]
async fn offline_what_is_here_is_used_and_nothing_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, seen| serve(seen)).await;
    pull(&hub(&server, folder.path())).await.unwrap();
    let before = asked(&server).len();
    let offline = Hub::new(HubConfig { offline: true, ..config(&server.url(), folder.path()) });
    assert_eq!(pull(&offline).await.unwrap().commit, COMMIT);
    let error = offline.pull(&repository("o/other"), &|_| ()).await.unwrap_err();
    assert!(
        error.to_string().contains("o/other") && error.hint().contains("models pull hf:o/other"),
        "{error}"
    );
    assert_eq!(asked(&server).len(), before);
}

#[tokio::test]
async fn a_mirror_that_lists_no_checksums_is_asked_for_each_file_s_headers() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, seen| {
        if seen.path.contains("/api/models/") {
            let names = files().into_keys().map(|name| json!({"rfilename": name}));
            let listing = json!({"sha": COMMIT, "siblings": names.collect::<Vec<_>>()});
            return vec![Act::json(200, &[], &listing)];
        }
        let (name, bytes) = files().into_iter().find(|(name, _)| seen.path.ends_with(name)).unwrap();
        if seen.method == "HEAD" {
            let (size, name) =
                (bytes.len(), if name.ends_with("safetensors") { sha256(&bytes) } else { git(&bytes) });
            let head = format!("HTTP/1.1 200 X\r\ncontent-length: {size}\r\netag: \"{name}\"\r\n\r\n");
            return vec![Act::Write(head.into_bytes())];
        }
        vec![part(seen, &bytes)]
    })
    .await;
    let snapshot = pull(&hub(&server, folder.path())).await.unwrap();
    assert_eq!(snapshot.files.last().unwrap().digest, Digest::sha256(&sha256(WEIGHTS)).unwrap());
}

#[tokio::test]
async fn two_that_pull_at_once_fetch_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, seen| serve(seen)).await;
    let (one, other) = (hub(&server, folder.path()), hub(&server, folder.path()));
    let (one, other) = futures::join!(pull(&one), pull(&other));
    assert_eq!(one.unwrap().folder, other.unwrap().folder);
    assert_eq!(server.seen().iter().filter(|seen| is_weights(seen)).count(), 1);
}

#[tokio::test]
async fn what_was_removed_is_gone_and_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, seen| serve(seen)).await;
    let hub = hub(&server, folder.path());
    let snapshot = pull(&hub).await.unwrap();
    assert_eq!(hub.cache().list().len(), 1);
    hub.cache().remove(&snapshot).await.unwrap();
    assert!(hub.cache().list().is_empty() && !snapshot.folder.exists());
    assert!(hub.cache().find(&repository("o/n")).is_none());
    pull(&hub).await.unwrap();
}

#[tokio::test]
async fn a_file_that_was_tampered_with_makes_the_model_come_anew() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, seen| serve(seen)).await;
    let hub = hub(&server, folder.path());
    let snapshot = pull(&hub).await.unwrap();
    std::fs::write(snapshot.folder.join("model.safetensors"), b"short").unwrap();
    assert!(hub.cache().find(&repository("o/n")).is_none());
    let snapshot = pull(&hub).await.unwrap();
    assert_eq!(std::fs::read(snapshot.folder.join("model.safetensors")).unwrap(), WEIGHTS);
}

/// A repository of GGUF files, and the commit they are of.
fn quantized(seen: &Seen, commit: &str) -> Vec<Act> {
    let files = [("Small-Q4_0.gguf", WEIGHTS), ("Small-Q8_0.gguf", &WEIGHTS[..40])];
    if seen.path.contains("/api/models/") {
        let sibling = |(name, bytes): (&str, &[u8])| {
            json!({"rfilename": name, "size": bytes.len(), "blobId": git(b"a pointer"),
                   "lfs": {"sha256": sha256(bytes), "size": bytes.len(), "pointerSize": 134}})
        };
        let siblings: Vec<Value> = files.map(sibling).to_vec();
        return vec![Act::json(200, &[], &json!({"id": "o/n", "sha": commit, "siblings": siblings}))];
    }
    match files.iter().find(|(name, _)| seen.path.ends_with(&format!("/resolve/{commit}/{name}"))) {
        Some((_, bytes)) => vec![part(seen, bytes)],
        None => vec![Act::json(404, &[("x-error-code", "EntryNotFound")], &json!({}))],
    }
}

#[tokio::test]
async fn each_gguf_file_of_a_repository_is_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, seen| quantized(seen, COMMIT)).await;
    let hub = hub(&server, folder.path());
    let small = hub.pull(&repository("o/n#q4_0"), &|_| ()).await.unwrap();
    let large = hub.pull(&repository("o/n#Small-Q8_0.gguf"), &|_| ()).await.unwrap();
    assert_eq!(std::fs::read(small.gguf().unwrap()).unwrap(), WEIGHTS);
    assert_eq!(std::fs::read(large.gguf().unwrap()).unwrap(), &WEIGHTS[..40]);
    assert_eq!((&small.commit[..], &small.revisions[..]), (COMMIT, &["main#q4_0".to_owned()][..]));
    // The same file by its name is the one that is here.
    let before = asked(&server).len();
    let again = hub.pull(&repository("o/n#Small-Q4_0.gguf"), &|_| ()).await.unwrap();
    assert_eq!(
        (&again.folder, &asked(&server)[before..]),
        (&small.folder, &["main?blobs=true".to_owned()][..])
    );
    assert_eq!(again.revisions, ["main#Small-Q4_0.gguf", "main#q4_0"]);
    assert_eq!(hub.cache().list().len(), 2);
    assert!(hub.cache().find(&repository("o/n")).is_none(), "no file was meant");
    hub.cache().remove(&again).await.unwrap();
    assert!(hub.cache().find(&repository("o/n#q4_0")).is_none());
    assert!(hub.cache().find(&repository("o/n#Small-Q8_0.gguf")).is_some());
}

#[tokio::test]
async fn a_gguf_file_stays_as_it_was_pulled_where_its_branch_moves_and_another_is_pulled() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|_, seen| quantized(seen, COMMIT)).await;
    hub(&server, folder.path()).pull(&repository("o/n#q4_0"), &|_| ()).await.unwrap();
    let moved = "f".repeat(40);
    let later = moved.clone();
    let server = Server::new(move |_, seen| quantized(seen, &later)).await;
    let hub = hub(&server, folder.path());
    hub.pull(&repository("o/n#q8_0"), &|_| ()).await.unwrap();
    let commit = |written: &str| hub.cache().find(&repository(written)).unwrap().commit;
    assert_eq!((commit("o/n#q4_0"), commit("o/n#q8_0")), (COMMIT.to_owned(), moved.clone()));
    let pinned = format!("o/n@{moved}#q8_0");
    assert!(hub.cache().find(&repository(&pinned)).is_none());
    hub.pull(&repository(&pinned), &|_| ()).await.unwrap();
    assert_eq!(commit(&pinned), moved);
}

#[tokio::test]
async fn a_gguf_file_that_breaks_off_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(|number, seen| match seen.path.ends_with(".gguf") && number == 1 {
        true => {
            let head = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n", WEIGHTS.len());
            vec![Act::Write([head.as_bytes(), &WEIGHTS[..20]].concat()), Act::Close]
        }
        false => quantized(seen, COMMIT),
    })
    .await;
    let snapshot = hub(&server, folder.path()).pull(&repository("o/n#q4_0"), &|_| ()).await.unwrap();
    assert_eq!(std::fs::read(snapshot.gguf().unwrap()).unwrap(), WEIGHTS);
    assert_eq!(server.seen().last().map(from), Some(20));
}
