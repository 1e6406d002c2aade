/// The control groups that a process is in.
enum ControlGroups {
    /// The folders of the process's groups of one controller, version 2 and 1, and all their ancestors.
    ///
    /// Source: cgroups(7), "/proc/[pid]/cgroup"; proc_pid_mountinfo(5).
    ///
    /// - Parameter read: the text of a file, nil if there is none.
    static func folders(of controller: String, _ read: (String) -> String?) -> [String] {
        let mounts = read("/proc/self/mountinfo") ?? ""
        return (read("/proc/self/cgroup") ?? "").split(separator: "\n").flatMap { line -> [String] in
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { return [] }
            let isSecond = parts[0] == "0" && parts[1].isEmpty
            guard isSecond || parts[1].split(separator: ",").contains(Substring(controller)),
                let mount = mount(isSecond ? nil : controller, mounts)
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

    /// The mount point of a controller's hierarchy; nil: of version 2.
    private static func mount(_ controller: String?, _ mounts: String) -> (root: String, folder: String)? {
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard let separator = fields.firstIndex(of: "-"), separator > 4, fields.count > separator + 3,
                fields[separator + 1] == (controller == nil ? "cgroup2" : "cgroup"),
                controller.map({ fields[separator + 3].split(separator: ",").contains(Substring($0)) }) ?? true
            else { continue }
            return (String(fields[3]), String(fields[4]))
        }
        return nil
    }
}
