{
  "targets": [
    {
      "target_name": "koi_kernel",
      "sources": [
        "src/kernel/native/binding.c",
        "src/kernel/native/socket.c",
        "src/kernel/native/batch.c",
        "src/kernel/native/poll.c",
        "src/kernel/native/pump.c",
        "src/kernel/native/ear.c",
        "src/kernel/native/realtime.c",
        "src/kernel/native/lock.c",
        "src/kernel/native/request.c",
        "src/kernel/native/netns.c",
        "src/kernel/native/exec.c",
        "src/kernel/native/datagram.c"
      ],
      "cflags": ["-std=gnu11", "-Wall", "-Wextra", "-Werror=implicit-function-declaration", "-O2", "-fstack-protector-strong"],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE"]
    },
    {
      "target_name": "koi-guard",
      "type": "executable",
      "sources": [
        "src/kernel/native/guard.c",
        "src/kernel/native/guard-fence.c",
        "src/kernel/native/guard-netns.c",
        "src/kernel/native/guard-registry.c"
      ],
      "cflags": ["-std=gnu11", "-Wall", "-Wextra", "-Werror=implicit-function-declaration", "-O2", "-fstack-protector-strong"],
      "defines": ["_GNU_SOURCE"]
    }
  ]
}
