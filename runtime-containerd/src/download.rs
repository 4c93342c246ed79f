//! One blob from a registry into the content store.
//!
//! The store keeps what was written under a name of its own (the reference of the ingest), so a
//! later attempt, also of another process, goes on where the earlier one ended.

use std::collections::BTreeMap;
use std::time::Duration;

use compose_registry::{Descriptor, Reference, Registry};
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{ProgressSink, TransferProgress};
use containerd_client::services::v1::{AbortRequest, InfoRequest, WriteAction, WriteContentRequest};
use containerd_client::tonic::{Code, Status, Streaming};
use futures_util::StreamExt as _;
use tokio::sync::mpsc::Sender;

use crate::client::{Client, existed};
use crate::content::set_labels;
use crate::pull::{from_registry, stalled, tell};

/// Bytes per message, well below containerd's limit of 4 MiB.
const CHUNK: usize = 1024 * 1024;
/// Time for a single answer of the content store; a commit reads the blob again.
const ANSWER: Duration = Duration::from_secs(300);
/// Pause between looks at a blob that another process is fetching.
const LOOK: Duration = Duration::from_millis(200);
/// How often a blob is begun anew because its bytes were wrong.
const ATTEMPTS: usize = 2;

/// How an attempt ended.
enum Attempt {
    Done,
    /// Somebody else writes the same blob.
    Busy,
    /// What the store had of an earlier attempt does not fit: from the beginning.
    Spoiled(RuntimeError),
}

/// Whether the store has a blob.
pub(crate) async fn has(client: &Client, digest: &str) -> Result<bool> {
    let request = client.request(InfoRequest { digest: digest.to_owned() });
    existed(client.call("Content.Info", client.content().info(request)).await)
}

/// Makes sure that the store has a blob, with these labels.
pub(crate) async fn download(
    client: &Client,
    registry: &Registry,
    reference: &Reference,
    blob: &Descriptor,
    labels: BTreeMap<String, String>,
    progress: Option<ProgressSink<'_, TransferProgress>>,
) -> Result<()> {
    let ingest = format!("compose-layer-{}", blob.digest);
    let mut spoiled = 0;
    loop {
        if has(client, &blob.digest).await? {
            set_labels(client, &blob.digest, labels).await?;
            if let Some(progress) = progress {
                tell(progress, &blob.digest, "Download complete", 0, 0);
            }
            return Ok(());
        }
        match attempt(client, registry, reference, blob, &ingest, &labels, progress).await? {
            Attempt::Done => {}
            Attempt::Busy => tokio::time::sleep(LOOK).await,
            Attempt::Spoiled(error) => {
                let request = client.request(AbortRequest { r#ref: ingest.clone() });
                existed(client.call("Content.Abort", client.content().abort(request)).await)?;
                spoiled += 1;
                if spoiled >= ATTEMPTS {
                    return Err(error);
                }
            }
        }
    }
}

/// A stream of writes to the store and of its answers.
struct Writing {
    sender: Sender<WriteContentRequest>,
    answers: Streaming<containerd_client::services::v1::WriteContentResponse>,
}

impl Writing {
    /// Sends a message and gives the offset that the store has then.
    async fn tell(&mut self, message: WriteContentRequest) -> std::result::Result<i64, Status> {
        if self.sender.send(message).await.is_err() {
            // The stream has ended; its answer says why.
            return match self.answers.message().await {
                Err(status) => Err(status),
                Ok(_) => Err(Status::unavailable("the content store ended the stream")),
            };
        }
        match tokio::time::timeout(ANSWER, self.answers.message()).await {
            Err(_) => Err(Status::deadline_exceeded("the content store does not answer")),
            Ok(Ok(Some(answer))) => Ok(answer.offset),
            Ok(Ok(None)) => Err(Status::unavailable("the content store ended the stream")),
            Ok(Err(status)) => Err(status),
        }
    }
}

async fn attempt(
    client: &Client,
    registry: &Registry,
    reference: &Reference,
    blob: &Descriptor,
    ingest: &str,
    labels: &BTreeMap<String, String>,
    progress: Option<ProgressSink<'_, TransferProgress>>,
) -> Result<Attempt> {
    let total = i64::try_from(blob.size).unwrap_or(i64::MAX);
    let message = |action: WriteAction, offset: i64, data: Vec<u8>| WriteContentRequest {
        action: action.into(),
        r#ref: ingest.to_owned(),
        total,
        expected: blob.digest.clone(),
        offset,
        data,
        labels: Default::default(),
    };
    let (sender, receiver) = tokio::sync::mpsc::channel(2);
    let first = message(WriteAction::Stat, 0, Vec::new());
    if sender.send(first).await.is_err() {
        return Err(stalled("Content.Write", ANSWER));
    }
    let messages = futures_util::stream::unfold(receiver, |mut receiver: tokio::sync::mpsc::Receiver<_>| async move {
        let message = receiver.recv().await?;
        Some((message, receiver))
    });
    let opened = match tokio::time::timeout(ANSWER, client.content().write(client.request(messages))).await {
        Err(_) => return Err(stalled("Content.Write", ANSWER)),
        Ok(Err(status)) => return ended(client, &status),
        Ok(Ok(response)) => response.into_inner(),
    };
    let mut writing = Writing { sender, answers: opened };
    let mut offset = match tokio::time::timeout(ANSWER, writing.answers.message()).await {
        Err(_) => return Err(stalled("Content.Write", ANSWER)),
        Ok(Ok(answer)) => answer.map_or(0, |answer| answer.offset),
        Ok(Err(status)) => return ended(client, &status),
    };
    if offset > total {
        let message = format!("layer {} is longer than its size", blob.digest);
        return Ok(Attempt::Spoiled(RuntimeError::Failed { message }));
    }
    let report = |done: i64| {
        if let Some(progress) = progress {
            tell(progress, &blob.digest, "Downloading", u64::try_from(done).unwrap_or(0), blob.size);
        }
    };
    report(offset);
    if offset < total {
        let start = u64::try_from(offset).unwrap_or(0);
        let mut stream = registry.blob(reference, blob, start).await.map_err(from_registry)?;
        let mut pending: Vec<u8> = Vec::with_capacity(CHUNK);
        loop {
            let next = stream.next().await.transpose().map_err(from_registry)?;
            let last = next.is_none();
            pending.extend_from_slice(&next.unwrap_or_default());
            while pending.len() >= CHUNK || (last && !pending.is_empty()) {
                let rest = pending.split_off(pending.len().min(CHUNK));
                let data = std::mem::replace(&mut pending, rest);
                let length = i64::try_from(data.len()).unwrap_or(0);
                if let Err(status) = writing.tell(message(WriteAction::Write, offset, data)).await {
                    return ended(client, &status);
                }
                offset += length;
                report(offset);
            }
            if last {
                break;
            }
        }
    }
    if let Some(progress) = progress {
        tell(progress, &blob.digest, "Verifying Checksum", 0, 0);
    }
    let mut commit = message(WriteAction::Commit, total, Vec::new());
    commit.labels = labels.clone().into_iter().collect();
    match writing.tell(commit).await {
        Ok(_) => Ok(Attempt::Done),
        Err(status) => ended(client, &status),
    }
}

/// What an error of the store means for the attempt.
fn ended(client: &Client, status: &Status) -> Result<Attempt> {
    match status.code() {
        Code::AlreadyExists => Ok(Attempt::Done),
        Code::Unavailable if status.message().contains("locked") => Ok(Attempt::Busy),
        // The digest or the size is not the expected one.
        Code::FailedPrecondition | Code::OutOfRange => {
            Ok(Attempt::Spoiled(RuntimeError::Failed { message: status.message().to_owned() }))
        }
        _ => Err(client.error(status)),
    }
}
