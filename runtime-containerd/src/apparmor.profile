#include <tunables/global>

# Loaded by compose for containers without a profile of their own, as a Docker Engine does.
profile compose-default flags=(attach_disconnected,mediate_deleted) {
  #include <abstractions/base>

  capability,
  file,
  network,
  umount,

  # Signals come from outside and from the container itself.
  signal (receive) peer=unconfined,
  signal (receive) peer=runc,
  signal (send,receive) peer=compose-default,
  ptrace (read,readby,trace,tracedby) peer=compose-default,

  # Of /proc only the processes' own directories and shared memory limits can be written.
  deny @{PROC}/* w,
  deny @{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}/** w,
  deny @{PROC}/sys/[^k]** w,
  deny @{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w,
  deny @{PROC}/kcore rwklx,
  deny @{PROC}/sysrq-trigger rwklx,

  # Of /sys only cgroups.
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/kernel/security/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,

  deny mount,
}
