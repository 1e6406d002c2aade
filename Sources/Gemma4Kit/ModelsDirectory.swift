import Foundation

/// The folder `Models` that is distributed with the program: configurations of the published variants.
package enum ModelsDirectory {
    package static let variants = ["E2B", "E4B", "12B", "31B", "26B-A4B", "E2B-mobile", "EmbeddingGemma2"]

    /// Searches beside the executable, in `share/gemma4` of its prefix, and in the folders above it (a source tree);
    /// nil if not found.
    package static func find() -> URL? {
        guard let executable = Bundle.main.executableURL?.resolvingSymlinksInPath() else { return nil }
        var folder = executable.deletingLastPathComponent()
        var candidates = [folder, folder.deletingLastPathComponent().appending(path: "share/gemma4")]
        while folder.path != "/" {
            folder.deleteLastPathComponent()
            candidates.append(folder)
        }
        return candidates.map { $0.appending(path: "Models") }.first {
            FileManager.default.fileExists(atPath: $0.appending(path: "E2B/config.json").path)
        }
    }
}
