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
        for folder in ControlGroups.folders(of: "cpu", read) {
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
