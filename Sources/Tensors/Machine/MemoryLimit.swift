import Foundation

/// The memory available to this process: free memory of the machine, or less if a control group limits it.
package struct MemoryLimit: Sendable, Equatable {
    /// Bytes available without swapping, including reclaimable page cache.
    package let availableBytes: Int
    /// The control group with the least memory left, and its limit; nil if the machine has less.
    package let group: (folder: String, byteCount: Int)?

    /// Read from the system at each access.
    package static var current: MemoryLimit {
        MemoryLimit(installed: Int(clamping: ProcessInfo.processInfo.physicalMemory)) {
            try? String(contentsOfFile: $0, encoding: .utf8)
        }
    }

    /// - Parameters:
    ///   - installed: physical memory in bytes, used if the system does not report free memory.
    ///   - read: the text of a file, nil if there is none.
    init(installed: Int, _ read: (String) -> String?) {
        var available = Self.number("MemAvailable:", read("/proc/meminfo")).map { $0 << 10 } ?? installed
        var group: (folder: String, byteCount: Int)?
        for folder in ControlGroups.folders(of: "memory", read) {
            guard let (allowed, left) = Self.limit(folder, read), left < available else { continue }
            (available, group) = (left, (folder, allowed))
        }
        (self.availableBytes, self.group) = (available, group)
    }

    /// The limit of a group and what is left of it, in bytes; nil if it is unlimited.
    private static func limit(_ folder: String, _ read: (String) -> String?) -> (allowed: Int, left: Int)? {
        func bytes(_ names: String...) -> Int? {
            names.compactMap { read("\(folder)/\($0)") }.first.flatMap { text in
                Int(text.filter { !$0.isWhitespace })  // "max" if unlimited
            }
        }
        guard let allowed = bytes("memory.max", "memory.limit_in_bytes"), allowed >= 0,
            let used = bytes("memory.current", "memory.usage_in_bytes")
        else { return nil }
        // The page cache is reclaimed first. Version 1 prefixes the sums that include subgroups with `total_`.
        let statistics = read("\(folder)/memory.stat")
        let cached = ["inactive_file", "active_file"].reduce(0) { sum, name in
            sum + (number("total_\(name)", statistics) ?? number(name, statistics) ?? 0)
        }
        return (allowed, max(0, allowed - max(0, used - cached)))
    }

    /// The number after `name` in the line that starts with it.
    private static func number(_ name: String, _ text: String?) -> Int? {
        let line = text?.split(separator: "\n").first { $0.split(whereSeparator: \.isWhitespace).first == name[...] }
        return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }
    }

    package static func == (a: MemoryLimit, b: MemoryLimit) -> Bool {
        a.availableBytes == b.availableBytes && a.group?.folder == b.group?.folder
            && a.group?.byteCount == b.group?.byteCount
    }
}
