//! Unpacking images: a snapshot for each layer, made by containerd, and kept as long as the image.

use std::collections::{BTreeMap, HashMap};

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use containerd_client::services::v1::ApplyRequest;
use containerd_client::services::v1::snapshots::{
    CommitSnapshotRequest, PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
};
use containerd_client::types::Descriptor;

use crate::client::{Client, LONG, existed, random_hex};
use crate::content;
use crate::image::{Pointer, Resolved, chain_ids};

/// Makes sure that all layers are snapshots. Must run under a lease.
pub(crate) async fn unpack(client: &Client, snapshotter: &str, resolved: &Resolved) -> Result<()> {
    let diff_ids = &resolved.configuration.rootfs.diff_ids;
    if diff_ids.len() != resolved.manifest.layers.len() {
        return Err(RuntimeError::Failed {
            message: format!(
                "image {} has {} layers and {} diff ids",
                resolved.id,
                resolved.manifest.layers.len(),
                diff_ids.len()
            ),
        });
    }
    let chain = chain_ids(diff_ids);
    // The uppermost one is there: so are all below it.
    if chain.last().is_none() || snapshot_exists(client, snapshotter, &resolved.chain_id()).await? {
        return label_snapshot_reference(client, snapshotter, resolved).await;
    }
    for (index, (layer, diff_id)) in resolved.manifest.layers.iter().zip(diff_ids).enumerate() {
        let name = &chain[index];
        if snapshot_exists(client, snapshotter, name).await? {
            continue;
        }
        let parent = index.checked_sub(1).map(|below| chain[below].clone()).unwrap_or_default();
        let key = format!("extract-{} {name}", random_hex(8)?);
        let labels: HashMap<String, String> = [("containerd.io/snapshot.ref".to_owned(), name.clone())].into();
        let request = client.request(PrepareSnapshotRequest {
            snapshotter: snapshotter.to_owned(),
            key: key.clone(),
            parent,
            labels: labels.clone(),
        });
        let prepared = client.call("Snapshots.Prepare", client.snapshots().prepare(request)).await;
        let mounts = match prepared {
            Ok(prepared) => prepared.mounts,
            Err(error) if error.is_conflict() => continue,
            Err(error) => return Err(error),
        };
        let applied = apply(client, layer, diff_id, mounts).await;
        let committed = match applied {
            Ok(()) => {
                let request = client.request(CommitSnapshotRequest {
                    snapshotter: snapshotter.to_owned(),
                    name: name.clone(),
                    key: key.clone(),
                    labels,
                });
                match client.call("Snapshots.Commit", client.snapshots().commit(request)).await {
                    Ok(()) => continue,
                    Err(error) if error.is_conflict() => Ok(()),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        let request = client.request(RemoveSnapshotRequest { snapshotter: snapshotter.to_owned(), key });
        let _ = client.call("Snapshots.Remove", client.snapshots().remove(request)).await;
        committed?;
    }
    label_snapshot_reference(client, snapshotter, resolved).await
}

async fn apply(
    client: &Client,
    layer: &Pointer,
    diff_id: &str,
    mounts: Vec<containerd_client::types::Mount>,
) -> Result<()> {
    let request = client.request(ApplyRequest {
        diff: Some(Descriptor {
            media_type: layer.media_type.clone(),
            digest: layer.digest.clone(),
            size: layer.size,
            annotations: HashMap::new(),
        }),
        mounts,
        ..ApplyRequest::default()
    });
    let applied = client.call_within(LONG, "Diff.Apply", client.diff().apply(request)).await?;
    let got = applied.applied.unwrap_or_default().digest;
    if got == diff_id {
        Ok(())
    } else {
        Err(RuntimeError::Failed {
            message: format!("layer {} unpacks to {got}, its image says {diff_id}", layer.digest),
        })
    }
}

/// Ties the snapshots' life to the image's configuration.
async fn label_snapshot_reference(client: &Client, snapshotter: &str, resolved: &Resolved) -> Result<()> {
    let labels = BTreeMap::from([(format!("containerd.io/gc.ref.snapshot.{snapshotter}"), resolved.chain_id())]);
    content::set_labels(client, &resolved.id, labels).await
}

pub(crate) async fn snapshot_exists(client: &Client, snapshotter: &str, key: &str) -> Result<bool> {
    let request = client.request(StatSnapshotRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() });
    existed(client.call("Snapshots.Stat", client.snapshots().stat(request)).await)
}
