import Foundation

/// The cache folder of `hf download` and transformers.
///
/// `models--OWNER--NAME/refs/main` names the commit, `snapshots/COMMIT/` holds its files as links.
///
/// Source: huggingface_hub, `constants.py`, `file_download.py`.
package struct HuggingFaceCache: Sendable {
    package let folder: URL

    package init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        let user = environment["HOME"] ?? NSHomeDirectory()
        func path(_ name: String) -> String? {
            environment[name].flatMap {
                $0.isEmpty ? nil : $0 == "~" || $0.hasPrefix("~/") ? user + $0.dropFirst() : $0
            }
        }
        let caches = path("XDG_CACHE_HOME") ?? "\(user)/.cache"
        let home = path("HF_HOME") ?? "\(caches)/huggingface"
        folder = URL(
            filePath: path("HF_HUB_CACHE") ?? path("HUGGINGFACE_HUB_CACHE") ?? "\(home)/hub",
            directoryHint: .isDirectory)
    }

    /// Whether a text has the form `OWNER/NAME`.
    package static func isRepository(_ name: String) -> Bool {
        name.wholeMatch(of: /[A-Za-z0-9][\w.\-]*\/[A-Za-z0-9][\w.\-]*/) != nil
    }

    /// The folder with the files of a downloaded repository; nil if it has not been downloaded.
    package func snapshot(of repository: String) -> URL? {
        guard Self.isRepository(repository) else { return nil }
        let name = "models--" + repository.replacing("/", with: "--")
        return Self.snapshot(in: folder.appending(path: name, directoryHint: .isDirectory))
    }

    /// The snapshot of a repository's folder in a cache: that of the commit `main`, else the newest; nil if there is
    /// none.
    package static func snapshot(in folder: URL) -> URL? {
        let snapshots = folder.appending(path: "snapshots", directoryHint: .isDirectory)
        let keys: [URLResourceKey] = [.contentModificationDateKey]
        guard
            let commits = try? FileManager.default.contentsOfDirectory(
                at: snapshots, includingPropertiesForKeys: keys, options: .skipsHiddenFiles)
        else { return nil }
        let main = try? String(contentsOf: folder.appending(path: "refs/main"), encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        let newest = commits.max { first, second in
            func date(_ url: URL) -> Date {
                (try? url.resourceValues(forKeys: Set(keys)).contentModificationDate) ?? .distantPast
            }
            return date(first) < date(second)
        }
        let commit = commits.first { $0.lastPathComponent == main } ?? newest
        return commit.map { snapshots.appending(path: $0.lastPathComponent, directoryHint: .isDirectory) }
    }
}
