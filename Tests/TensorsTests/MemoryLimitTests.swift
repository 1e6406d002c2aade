import Testing

@testable import Tensors

@Suite struct MemoryLimitTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let files: [String: String]
        let available: Int
        var group: String?
        var allowed: Int?
    }

    private static let free = "MemTotal:       4000000 kB\nMemFree:  1 kB\nMemAvailable:    2000 kB\n"
    private static let second = [
        "/proc/meminfo": free, "/proc/self/cgroup": "0::/a/b\n",
        "/proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
        "/sys/fs/cgroup/a/b/memory.max": "max\n", "/sys/fs/cgroup/a/b/memory.current": "500\n",
        "/sys/fs/cgroup/a/memory.max": "1000000\n", "/sys/fs/cgroup/a/memory.current": "700000\n",
        "/sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 100000\nactive_file 50000\n",
    ]

    static let cases = [
        Case(testDescription: "nothing is known", files: [:], available: 1 << 30),
        Case(testDescription: "the machine alone", files: ["/proc/meminfo": free], available: 2000 << 10),
        Case(
            testDescription: "version 2: the parent allows less, and its cache of files is given up", files: second,
            available: 450_000, group: "/sys/fs/cgroup/a", allowed: 1_000_000),
        Case(
            testDescription: "version 2: the group has taken more than it may",
            files: second.merging(["/sys/fs/cgroup/a/memory.current": "2000000\n"]) { $1 },
            available: 0, group: "/sys/fs/cgroup/a", allowed: 1_000_000),
        Case(
            testDescription: "version 2: the machine has less",
            files: second.merging(["/sys/fs/cgroup/a/memory.max": "9000000\n"]) { $1 }, available: 2000 << 10),
        Case(
            testDescription: "version 1",
            files: [
                "/proc/meminfo": free, "/proc/self/cgroup": "4:memory:/job\n1:cpu:/other\n",
                "/proc/self/mountinfo": "32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
                "/sys/fs/cgroup/memory/job/memory.limit_in_bytes": "800000\n",
                "/sys/fs/cgroup/memory/job/memory.usage_in_bytes": "600000\n",
                "/sys/fs/cgroup/memory/job/memory.stat": "inactive_file 1\ntotal_inactive_file 20000\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "/sys/fs/cgroup/memory/memory.usage_in_bytes": "900000\n",
            ], available: 220_000, group: "/sys/fs/cgroup/memory/job", allowed: 800_000),
        Case(
            testDescription: "numbers that are none",
            files: second.merging(["/sys/fs/cgroup/a/memory.max": "-7\n", "/proc/meminfo": "MemAvailable:\n"]) { $1 },
            available: 1 << 30),
    ]

    @Test(arguments: cases)
    func takesTheLeast(test: Case) {
        let limit = MemoryLimit(installed: 1 << 30) { test.files[$0] }
        #expect(limit.availableBytes == test.available)
        #expect(limit.group?.folder == test.group && limit.group?.byteCount == test.allowed)
    }
}
