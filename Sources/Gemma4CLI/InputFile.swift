import Foundation

/// One of the files that arguments name, in folders too.
struct InputFile: Equatable {
    let path: String
    /// Where its results go below an output folder, without extension.
    let outputName: String

    /// What results and messages call it.
    var name: String { path == StandardInput.argument ? StandardInput.name : path }

    static let recordings: Set<String> = [
        "wav", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "aifc", "au", "caf", "w64", "rf64", "m4a", "mp4", "mov",
        "mkv", "webm", "aac", "ac3", "amr", "ape", "asf", "avi", "flv", "m4b", "m4v", "mka", "mp2", "mpga", "mpg", "mpeg",
        "ogv", "ra", "spx", "tta", "ts", "mts", "m2ts", "wma", "wmv", "wv", "3gp", "3g2",
    ]
    static let films: Set<String> = ["mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg"]

    static let pictures: Set<String> = ["png", "jpg", "jpeg"]

    var isFilm: Bool { Self.films.contains(URL(filePath: path).pathExtension.lowercased()) }

    /// The text beside it.
    var sidecar: String { Self.withoutExtension(path) + ".txt" }

    /// A file that is named itself.
    init(path: String) {
        self.path = path
        let name = path == StandardInput.argument ? "stdin" : URL(filePath: path).lastPathComponent
        outputName = Self.withoutExtension(name)
    }

    private init(_ folder: String, _ relativePath: String) {
        path = folder.hasSuffix("/") ? folder + relativePath : "\(folder)/\(relativePath)"
        outputName = Self.withoutExtension(relativePath)
    }

    /// The files as they are named; of folders all files with one of these extensions, by name.
    ///
    /// - Throws: `CommandError` for a folder without one.
    static func expand(_ paths: [String], _ extensions: Set<String>) throws(CommandError) -> [InputFile] {
        var files: [InputFile] = []
        for path in paths {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
                files.append(InputFile(path: path))
                continue
            }
            let all = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
            let wanted = all.filter { extensions.contains(URL(filePath: $0).pathExtension.lowercased()) }.sorted()
            guard !wanted.isEmpty else { throw CommandError(.emptyFolder(extensions.sorted()), path) }
            files += wanted.map { InputFile(path, $0) }
        }
        return files
    }

    static func withoutExtension(_ name: String) -> String {
        let fileExtension = URL(filePath: name).pathExtension
        return fileExtension.isEmpty ? name : String(name.dropLast(fileExtension.count + 1))
    }
}
