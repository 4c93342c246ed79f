//! CPU, memory, process limits and devices.

use compose_model::project::{DeviceRequest, Service};

use crate::spec::ResourceSpec;

/// `deploy.resources` wins over the attributes of the service.
pub(super) fn resources(service: &Service) -> ResourceSpec {
    let mut spec = ResourceSpec {
        nano_cpus: nano(service.cpus),
        cpu_count: service.cpu_count,
        cpu_percent: service.cpu_percent as i64,
        cpu_period: service.cpu_period,
        cpu_quota: service.cpu_quota,
        cpu_rt_period: service.cpu_rt_period,
        cpu_rt_runtime: service.cpu_rt_runtime,
        cpu_shares: service.cpu_shares,
        cpuset: service.cpuset.clone(),
        mem_limit: service.mem_limit,
        mem_reservation: service.mem_reservation,
        memswap_limit: service.memswap_limit,
        mem_swappiness: (service.mem_swappiness != 0).then_some(service.mem_swappiness),
        oom_kill_disable: service.oom_kill_disable,
        oom_score_adj: service.oom_score_adj,
        pids_limit: service.pids_limit,
        blkio: service.blkio_config.clone(),
    };
    if let Some(deploy) = &service.deploy {
        if let Some(limits) = &deploy.resources.limits {
            if limits.cpus != 0.0 {
                spec.nano_cpus = nano(limits.cpus);
            }
            if limits.memory.0 != 0 {
                spec.mem_limit = limits.memory;
            }
            if limits.pids != 0 {
                spec.pids_limit = limits.pids;
            }
        }
        if let Some(reservations) = &deploy.resources.reservations
            && reservations.memory.0 != 0
        {
            spec.mem_reservation = reservations.memory;
        }
    }
    spec
}

/// Billionths of a CPU. By way of the shortest decimal text, so that 0.1 is 100,000,000.
fn nano(cpus: f32) -> i64 {
    let exact: f64 = cpus.to_string().parse().unwrap_or(0.0);
    (exact * 1e9).round() as i64
}

/// `gpus` and `deploy.resources.reservations.devices`.
pub(super) fn device_requests(service: &Service) -> Vec<DeviceRequest> {
    let reserved = service
        .deploy
        .as_ref()
        .and_then(|deploy| deploy.resources.reservations.as_ref())
        .map(|reservations| reservations.devices.clone())
        .unwrap_or_default();
    let gpus = service.gpus.iter().cloned().map(|mut request| {
        if !request.capabilities.iter().any(|capability| capability == "gpu") {
            request.capabilities.push("gpu".to_owned());
        }
        request
    });
    reserved
        .into_iter()
        .chain(gpus)
        .map(|mut request| {
            if request.count == 0 && request.device_ids.is_empty() {
                request.count = -1;
            }
            request
        })
        .collect()
}
