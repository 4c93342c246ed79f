//! The content store: reading and writing blobs.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use containerd_client::services::v1::{Info, ReadContentRequest, UpdateRequest, WriteAction, WriteContentRequest};
use containerd_client::tonic::{Code, Status};
use sha2::{Digest, Sha256};

use crate::client::{Client, LONG, hex, local, random_hex};

/// Bytes per message, well below the limit of 4 MiB.
const CHUNK: usize = 1024 * 1024;
/// Largest manifest, index or image configuration that is read into memory.
const DOCUMENT_LIMIT: usize = 8 * 1024 * 1024;

/// `sha256:` and 64 digits.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// The digest of a part of a file.
pub(crate) fn digest_of_part(file: &mut std::fs::File, offset: u64, size: u64) -> Result<String> {
    let failed = |error| local("reading the image archive", error);
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut part = file.take(size);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        match part.read(&mut buffer).map_err(failed)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(format!("sha256:{}", hex(&hasher.finalize())))
}

/// Reads a small blob (manifest, index, configuration).
pub(crate) async fn read_document(client: &Client, digest: &str) -> Result<Vec<u8>> {
    let request = client.request(ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 });
    let mut stream = client.call("Content.Read", client.content().read(request)).await?;
    let mut bytes = Vec::new();
    while let Some(part) = stream.message().await.map_err(|status| client.error(&status))? {
        bytes.extend_from_slice(&part.data);
        if bytes.len() > DOCUMENT_LIMIT {
            return Err(RuntimeError::Invalid { message: format!("{digest} is too large for an image document") });
        }
    }
    Ok(bytes)
}

/// Where a blob's bytes come from.
pub(crate) enum Source {
    /// Memory.
    Bytes(Vec<u8>),
    /// A part of a file.
    Part { file: std::fs::File, offset: u64, size: u64 },
}

impl Source {
    fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Part { size, .. } => *size,
        }
    }
}

/// Writes a blob; containerd verifies the digest. A blob that is there gets the labels.
pub(crate) async fn write(
    client: &Client,
    digest: &str,
    source: Source,
    labels: BTreeMap<String, String>,
) -> Result<()> {
    let total = i64::try_from(source.size()).unwrap_or(i64::MAX);
    let reference = format!("compose-{}-{digest}", random_hex(8)?);
    let (sender, receiver) = tokio::sync::mpsc::channel::<WriteContentRequest>(2);
    let message = {
        let (reference, expected) = (reference.clone(), digest.to_owned());
        move |action: WriteAction, offset: i64, data: Vec<u8>| WriteContentRequest {
            action: action.into(),
            r#ref: reference.clone(),
            total,
            expected: expected.clone(),
            offset,
            data,
            labels: Default::default(),
        }
    };
    let commit_labels: std::collections::HashMap<_, _> = labels.clone().into_iter().collect();
    let feeder = tokio::task::spawn_blocking(move || {
        let mut reader: Box<dyn Read> = match source {
            Source::Bytes(bytes) => Box::new(std::io::Cursor::new(bytes)),
            Source::Part { mut file, offset, size } => {
                file.seek(SeekFrom::Start(offset))?;
                Box::new(file.take(size))
            }
        };
        let mut offset = 0;
        while offset < total {
            let mut data = vec![0; CHUNK.min(usize::try_from(total - offset).unwrap_or(CHUNK))];
            reader.read_exact(&mut data)?;
            let length = data.len() as i64;
            if sender.blocking_send(message(WriteAction::Write, offset, data)).is_err() {
                return Ok(()); // The answer says why.
            }
            offset += length;
        }
        let mut commit = message(WriteAction::Commit, total, Vec::new());
        commit.labels = commit_labels;
        let _ = sender.blocking_send(commit);
        std::io::Result::Ok(())
    });
    let messages = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let message = receiver.recv().await?;
        Some((message, receiver))
    });
    let outcome = tokio::time::timeout(LONG, async {
        let mut answers = client.content().write(client.request(messages)).await?.into_inner();
        while answers.message().await?.is_some() {}
        Ok::<(), Status>(())
    })
    .await;
    let fed = feeder.await.map_err(|error| local("reading the image archive", error))?;
    match outcome {
        Err(_) => Err(RuntimeError::Stalled {
            engine: crate::client::ENGINE.to_owned(),
            call: "Content.Write".to_owned(),
            after: LONG,
        }),
        Ok(Err(status)) if status.code() == Code::AlreadyExists => set_labels(client, digest, labels).await,
        Ok(Err(status)) => Err(client.error(&status)),
        Ok(Ok(())) => fed.map_err(|error| local("reading the image archive", error)),
    }
}

/// Adds labels to a blob.
pub(crate) async fn set_labels(client: &Client, digest: &str, labels: BTreeMap<String, String>) -> Result<()> {
    if labels.is_empty() {
        return Ok(());
    }
    let paths = labels.keys().map(|key| format!("labels.{key}")).collect();
    let request = client.request(UpdateRequest {
        info: Some(Info { digest: digest.to_owned(), labels: labels.into_iter().collect(), ..Info::default() }),
        update_mask: Some(prost_types::FieldMask { paths }),
    });
    client.call("Content.Update", client.content().update(request)).await?;
    Ok(())
}
