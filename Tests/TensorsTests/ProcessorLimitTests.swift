import Testing

@testable import Tensors

@Suite struct ProcessorLimitTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var online = 64
        let files: [String: String]
        let count: Int
        let origin: ProcessorLimit.Origin
    }

    private static let second = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    private static let first =
        "31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        + "32 23 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 master:3 - cgroup cgroup rw,cpu,cpuacct\n"

    static let cases = [
        Case(testDescription: "nothing is known", files: [:], count: 64, origin: .machine),
        Case(
            testDescription: "all CPUs allowed", files: ["/proc/self/status": "Name:\tx\nCpus_allowed_list:\t0-63\n"],
            count: 64, origin: .machine),
        Case(
            testDescription: "taskset",
            files: ["/proc/self/status": "Cpus_allowed:\tff\nCpus_allowed_list:\t0-3,8,10-11\n"],
            count: 7, origin: .affinity),
        Case(
            testDescription: "version 2, the parent's quota is the smaller one",
            files: [
                "/proc/self/cgroup": "0::/user.slice/job\n", "/proc/self/mountinfo": second,
                "/sys/fs/cgroup/user.slice/job/cpu.max": "800000 100000\n",
                "/sys/fs/cgroup/user.slice/cpu.max": "250000 100000\n", "/sys/fs/cgroup/cpu.max": "max 100000\n",
            ], count: 3, origin: .quota("/sys/fs/cgroup/user.slice")),
        Case(
            testDescription: "version 2, unlimited",
            files: [
                "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": second,
                "/sys/fs/cgroup/cpu.max": "max 100000\n",
            ], count: 64, origin: .machine),
        Case(
            testDescription: "version 2, less than one CPU",
            files: [
                "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": second,
                "/sys/fs/cgroup/cpu.max": "10000 100000\n",
            ], count: 1, origin: .quota("/sys/fs/cgroup")),
        Case(
            testDescription: "version 1",
            files: [
                "/proc/self/cgroup": "9:memory:/other\n4:cpu,cpuacct:/job\n0::/\n", "/proc/self/mountinfo": first,
                "/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "400000\n",
                "/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
                "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            ], count: 4, origin: .quota("/sys/fs/cgroup/cpu,cpuacct/job")),
        Case(
            testDescription: "version 1 in a container, whose group is the root of the mount",
            files: [
                "/proc/self/cgroup": "4:cpu,cpuacct:/docker/ab12\n",
                "/proc/self/mountinfo":
                    "32 23 0:28 /docker/ab12 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            ], count: 2, origin: .quota("/sys/fs/cgroup/cpu")),
        Case(
            testDescription: "the mask is narrower than the quota",
            files: [
                "/proc/self/status": "Cpus_allowed_list:\t5\n", "/proc/self/cgroup": "0::/\n",
                "/proc/self/mountinfo": second, "/sys/fs/cgroup/cpu.max": "300000 100000\n",
            ], count: 1, origin: .affinity),
        Case(
            testDescription: "a quota above the machine", online: 2,
            files: [
                "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": second,
                "/sys/fs/cgroup/cpu.max": "300000 100000\n",
            ], count: 2, origin: .machine),
    ]

    @Test(arguments: cases)
    func takesTheNarrowest(test: Case) {
        let limit = ProcessorLimit(online: test.online) { test.files[$0] }
        #expect(limit.count == test.count && limit.origin == test.origin && limit.online == test.online)
    }

    @Test func isTheDefaultNumberOfThreads() {
        #expect(Device().threads.count == ProcessorLimit.current.count)
    }
}
