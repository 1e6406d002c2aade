import Foundation

/// The CPUs that this process may keep busy: the fewest of those that are online, that its affinity mask allows, and that
/// the quotas of its control groups are worth.
package struct ProcessorLimit: Sendable, Equatable {
    package enum Origin: Sendable, Equatable {
        /// All that are online.
        case machine
        /// The affinity mask, which a control group's set of CPUs narrows too.
        case affinity
        /// CPU time per period of a control group; its folder.
        case quota(String)
    }

    package let count: Int
    /// CPUs that are online.
    package let online: Int
    package let origin: Origin

    /// Asked once per process.
    package static let current = ProcessorLimit(online: sysconf(CInt(_SC_NPROCESSORS_ONLN))) {
        try? String(contentsOfFile: $0, encoding: .utf8)
    }

    /// - Parameter read: the text of a file, nil if there is none.
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

    /// "Cpus_allowed_list: 0-3,8" are 5.
    private static func allowed(_ status: String) -> Int? {
        let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
        let ranges = line?.split(whereSeparator: \.isWhitespace).dropFirst().first?.split(separator: ",") ?? []
        let count = ranges.reduce(0) { sum, range in
            let ends = range.split(separator: "-").compactMap { Int($0) }
            return ends.isEmpty ? sum : sum + max(0, ends.last! - ends[0]) + 1
        }
        return count > 0 ? count : nil
    }

    /// What a group's time per period comes to in CPUs, rounded up; nil if it is unlimited.
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
