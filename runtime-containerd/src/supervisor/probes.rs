//! Running health checks.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::ExecOptions;
use containerd_client::services::v1::{Container, KillRequest};
use futures_util::StreamExt;

use super::Supervisor;
use super::unit::Running;
use crate::client::local;
use crate::core::{Core, write_atomically};
use crate::health::{Check, Health, OUTPUT, Probe, Status};
use crate::record::{HEALTH, Record, STARTED, label};
use crate::{signal, time};

/// How long output may follow a probe's end: a child that it left may keep the pipe open.
const REST: Duration = Duration::from_millis(100);

impl Core {
    fn health_path(&self, id: &str) -> PathBuf {
        self.state_directory(id).join("health.json")
    }

    /// The last results of a container's probes.
    pub(crate) fn health(&self, id: &str) -> Health {
        let bytes = std::fs::read(self.health_path(id)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Runs a probe; `None` if the container does not run.
    async fn probe(&self, id: &str, check: &Check) -> Option<Probe> {
        let begin = time::now();
        let result = |exit_code: i64, output: String| Probe {
            start: time::text(begin),
            end: time::text(time::now()),
            exit_code,
            output,
        };
        let options = ExecOptions { command: check.command.clone(), ..ExecOptions::default() };
        let begun = tokio::time::Instant::now();
        let started = match self.start_exec(id, &options).await {
            Ok(started) => started,
            Err(error)
                if error.is_not_found() || error.is_conflict() || matches!(error, RuntimeError::Unreachable { .. }) =>
            {
                return None;
            }
            Err(error) => return Some(result(-1, error.to_string())),
        };
        let kept = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&kept);
        let output = started.session.map(|session| session.output);
        let mut reading = tokio::spawn(async move {
            let Some(mut output) = output else { return };
            while let Some(Ok(chunk)) = output.next().await {
                let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
                let room = OUTPUT.saturating_sub(kept.len());
                kept.extend_from_slice(&chunk.bytes[..chunk.bytes.len().min(room)]);
            }
        });
        let left = check.timeout.saturating_sub(begun.elapsed());
        let ended = tokio::time::timeout(left, self.wait_exec(&started.id)).await;
        if ended.is_err() {
            let request = self.client.request(KillRequest {
                container_id: id.to_owned(),
                exec_id: started.id.clone(),
                signal: signal::KILL,
                all: false,
            });
            let _ = self.client.call("Tasks.Kill", self.client.tasks().kill(request)).await;
        }
        if tokio::time::timeout(REST, &mut reading).await.is_err() {
            reading.abort();
        }
        self.forget_exec(&started.id);
        let bytes = std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner));
        let output = String::from_utf8_lossy(&bytes).into_owned();
        Some(match ended {
            Ok(Ok(code)) => result(code, output),
            Ok(Err(error)) => result(-1, error.to_string()),
            Err(_) => {
                let limit = check.timeout.as_secs_f64();
                let said = if output.is_empty() { String::new() } else { format!(": {output}") };
                result(-1, format!("Health check exceeded timeout ({limit}s){said}"))
            }
        })
    }
}

impl Supervisor {
    /// Makes sure that a running container is probed, from its start or from where another
    /// supervisor left off.
    pub(super) fn look_after_health(self: &Arc<Self>, container: &Container, record: &Record) {
        let started = label(container, STARTED);
        let Some(check) = record.healthcheck.as_ref().and_then(Check::of) else { return };
        let mut state = self.state();
        let unit = state.units.entry(container.id.clone()).or_default();
        if unit.health.as_ref().is_some_and(|health| health.of == started) {
            return;
        }
        let written = label(container, HEALTH).to_owned();
        let work = Arc::clone(self).check_health(container.id.clone(), started.to_owned(), check, written);
        unit.health = Some(Running::new(started, work));
    }

    async fn check_health(self: Arc<Self>, id: String, started: String, check: Check, mut written: String) {
        let mut health = self.core.health(&id);
        if health.started != started {
            health = Health { started: started.clone(), ..Health::default() };
            health.status = match written.as_str() {
                "healthy" => Status::Healthy,
                "unhealthy" => Status::Unhealthy,
                _ => Status::Starting,
            };
        }
        let since = |text: &str| {
            let then = time::parse(text);
            let passed = then.and_then(|then| Duration::try_from(time::now().duration_since(then)).ok());
            passed.unwrap_or_default()
        };
        loop {
            // The next probe is due so long after the last one, whoever ran it.
            let last = health.log.last().map_or(started.as_str(), |probe| probe.end.as_str());
            let pause = check.pause(health.status, since(&started)).saturating_sub(since(last));
            tokio::time::sleep(pause).await;
            let Ok(_turn) = self.probes.acquire().await else { return };
            let paused = self.state().units.get(&id).is_none_or(|unit| unit.paused);
            let probe = if paused { None } else { self.core.probe(&id, &check).await };
            let Some(probe) = probe else {
                // Looked at again when it runs again; until then at the check's own pace.
                drop(_turn);
                tokio::time::sleep(check.pause(health.status, since(&started))).await;
                continue;
            };
            health.take(&check, since(&started), probe);
            if let Err(error) = self.keep_health(&id, &health, &mut written).await {
                tracing::warn!(container = id, %error, "keeping the result of a health check");
            }
        }
    }

    /// Keeps the results; the label is written when the status changes, since it costs a
    /// transaction and tells everybody.
    async fn keep_health(self: &Arc<Self>, id: &str, health: &Health, written: &mut String) -> Result<()> {
        let bytes = serde_json::to_vec(health).map_err(|error| local("health", error))?;
        write_atomically(&self.core.health_path(id), &bytes)?;
        let word = health.status.word();
        if word != written {
            self.core.set_labels(id, &[(HEALTH, Some(word.to_owned()))]).await?;
            written.clear();
            written.push_str(word);
        }
        Ok(())
    }
}
