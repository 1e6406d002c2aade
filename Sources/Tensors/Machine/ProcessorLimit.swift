import Foundation

/// The CPUs that this process may use: the minimum of those online, those in its affinity mask, and the quotas of its
/// control groups.
package struct ProcessorLimit: Sendable, Equatable {
    package enum Origin: Sendable, Equatable {
        /// All online CPUs.
        case machine
        /// The affinity mask, which a control group's cpuset narrows too.
        case affinity
        /// The CPU quota of a control group; its folder.
        case quota(String)
    }

    package let count: Int
    /// Online CPUs.
    package let online: Int
    package let origin: Origin

    /// Determined once per process.
    package static let current = ProcessorLimit(online: sysconf(CInt(_SC_NPROCESSORS_ONLN))) {
        try? String(contentsOfFile: $0, encoding: .utf8)
    }

    /// - Parameter read: returns the text of a file, nil if it does not exist.
    init(online: Int, _ read: (String) -> String?) {
        self.online = max(1, online)
        var (count, origin) = (self.online, Origin.machine)
        if let allowed = Self.allowed(read("/proc/self/status") ?? ""), allowed < count {
            (count, origin) = (allowed, .affinity)
        }
        for folder in Self.controlGroups(read("/proc/self/cgroup") ?? "", read("/proc/self/mountinfo") ?? "") {
            if let quota = Self.quota(folder, read), quota < count { (count, origin) = (quota, .quota(folder)) }
        }
        (self.count, self.origin) = (count, origin)
    }

    /// "Cpus_allowed_list: 0-3,8" yields 5.
    private static func allowed(_ status: String) -> Int? {
        let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
        let ranges = line?.split(whereSeparator: \.isWhitespace).dropFirst().first?.split(separator: ",") ?? []
        let count = ranges.reduce(0) { sum, range in
            let ends = range.split(separator: "-").compactMap { Int($0) }
            return ends.isEmpty ? sum : sum + max(0, ends.last! - ends[0]) + 1
        }
        return count > 0 ? count : nil
    }

    /// The folders of the process's cpu control groups, version 2 and 1, and all their ancestors.
    ///
    /// Source: cgroups(7), "/proc/[pid]/cgroup"; proc_pid_mountinfo(5).
    private static func controlGroups(_ groups: String, _ mounts: String) -> [String] {
        groups.split(separator: "\n").flatMap { line -> [String] in
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { return [] }
            let isSecond = parts[0] == "0" && parts[1].isEmpty
            guard isSecond || parts[1].split(separator: ",").contains("cpu"),
                let mount = mount(isSecond ? "cgroup2" : "cgroup", mounts)
            else { return [] }
            // In a container the mount may start at the group itself, or the path may be the one outside.
            let path = String(parts[2])
            var inside =
                mount.root == "/" ? path : path.hasPrefix(mount.root) ? String(path.dropFirst(mount.root.count)) : ""
            inside = inside.contains("..") ? "" : inside
            let names = inside.split(separator: "/")
            return (0...names.count).reversed().map {
                ([mount.folder] + names.prefix($0).map(String.init)).joined(separator: "/")
            }
        }
    }

    /// The mount point of the cpu hierarchy.
    private static func mount(_ type: String, _ mounts: String) -> (root: String, folder: String)? {
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard let separator = fields.firstIndex(of: "-"), separator > 4, fields.count > separator + 3,
                fields[separator + 1] == type,
                type == "cgroup2" || fields[separator + 3].split(separator: ",").contains("cpu")
            else { continue }
            return (String(fields[3]), String(fields[4]))
        }
        return nil
    }

    /// The quota of a group in CPUs, rounded up; nil if it is unlimited.
    private static func quota(_ folder: String, _ read: (String) -> String?) -> Int? {
        func number(_ name: String) -> [Int] {
            (read("\(folder)/\(name)") ?? "").split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        }
        let second = number("cpu.max")  // "max 100000" if unlimited
        let values = second.count == 2 ? second : number("cpu.cfs_quota_us") + number("cpu.cfs_period_us")
        guard values.count == 2, values[0] > 0, values[1] > 0 else { return nil }
        return (values[0] + values[1] - 1) / values[1]
    }
}
