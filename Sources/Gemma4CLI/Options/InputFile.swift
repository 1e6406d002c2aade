import Foundation
import Gemma4Kit
import Media

/// An input file, named by an argument directly or by its folder.
struct InputFile {
    /// As shown in results and messages.
    let path: String
    /// Path of its results below an output folder, without the results' extension.
    private(set) var outputName: String
    /// Path of the text file beside it.
    private(set) var sidecar: String
    /// Identifies the input on any machine: its id in a manifest, or its path as given.
    let key: String
    private let place: SystemPath

    /// Its name in results and messages.
    var name: String { isStandardInput ? StandardInput.name : path }

    var isStandardInput: Bool { path == StandardInput.argument }

    static let recordings: Set<String> = [
        "wav", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "aifc", "au", "caf", "w64", "rf64", "m4a", "mp4",
        "mov",
        "mkv", "webm", "aac", "ac3", "amr", "ape", "asf", "avi", "flv", "m4b", "m4v", "mka", "mp2", "mpga", "mpg",
        "mpeg",
        "ogv", "ra", "spx", "tta", "ts", "mts", "m2ts", "wma", "wmv", "wv", "3gp", "3g2",
    ]
    static let films: Set<String> = ["mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg"]

    static let pictures: Set<String> = [
        "png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "dib", "tif", "tiff", "heic", "heif", "hif", "avif",
    ]

    /// Whether it is a film, by its content; by its file extension if the content is unknown.
    ///
    /// - Parameter openable: a path that opens it.
    func isFilm(at openable: String) -> Bool {
        let kind = isStandardInput ? nil : MediaKind(of: URL(filePath: openable))
        return kind.map { $0.medium == .film } ?? Self.films.contains(URL(filePath: path).pathExtension.lowercased())
    }

    /// A file named directly, not by its folder.
    init(path: String) {
        let place = SystemPath(argument: path)
        let isStandardInput = path == StandardInput.argument
        let name = isStandardInput ? "stdin" : URL(filePath: place.text).lastPathComponent
        self.init(place, outputName: Self.withoutExtension(name), place.text)
    }

    init(_ place: SystemPath, outputName: String, _ key: String) {
        (self.place, self.outputName, self.key) = (place, outputName, key)
        path = place.text
        sidecar = Self.withoutExtension(path) + ".txt"
    }

    /// The files as named; for folders all files with one of these extensions, by name. Reports how many were left out.
    ///
    /// - Throws: `CommandError` for a folder without such a file, and for one that cannot be read.
    static func expand(_ paths: [String], _ extensions: Set<String>) throws(CommandError) -> [InputFile] {
        var files: [InputFile] = []
        var seen: Set<FileIdentity> = []
        for path in paths {
            let place = SystemPath(argument: path)
            guard path != StandardInput.argument, let status = place.status, FileIdentity(status).isFolder else {
                files.append(InputFile(path: path))
                continue
            }
            let listing = FolderListing(place, extensions, seen: &seen)
            for (folder, reason) in listing.unreadable {
                let error = CommandError(.unreadable(reason: reason), folder.text)
                guard folder != place else { throw error }
                ByteSink.standardError.report("warning: \(error)")
            }
            let leftOut = Self.list(listing.leftOut)
            guard !listing.files.isEmpty else {
                throw CommandError(.emptyFolder(extensions.sorted(), leftOut: leftOut), place.text)
            }
            files += listing.files.map {
                let path = place.appending($0)
                return InputFile(path, outputName: withoutExtension($0.text), path.text)
            }
            if let leftOut { ByteSink.standardError.report("\(place.text.displayed): \(leftOut)") }
        }
        var known: Set<String> = []
        return withDistinctNames(files.filter { $0.isStandardInput || known.insert($0.canonicalPath).inserted })
    }

    /// "5 files left out: 3 .webp, 2 .heic"; nil for none.
    private static func list(_ leftOut: [String: Int]) -> String? {
        let count = leftOut.values.reduce(0, +)
        guard count > 0 else { return nil }
        let kinds = leftOut.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.value) \($0.key)" }
        return "\(count) \(count == 1 ? "file" : "files") left out: \(kinds.joined(separator: ", "))"
    }

    /// If results of several files would have the same name, keeps the files' extensions in it, `x.mp3.txt` and
    /// `x.wav.txt`; if that is the same too, also their folders, from where these differ: `a/x.txt` and `b/x.txt`.
    static func withDistinctNames(_ files: [InputFile]) -> [InputFile] {
        // Compared as on case-insensitive file systems.
        let names = Dictionary(grouping: files) { $0.outputName.lowercased() }
        let sidecars = Dictionary(grouping: files) { $0.sidecar.lowercased() }
        var named = files.map { file in
            var named = file
            let fileExtension = URL(filePath: file.path).pathExtension
            let alike = names[file.outputName.lowercased()]!.map { URL(filePath: $0.path).pathExtension.lowercased() }
            if !fileExtension.isEmpty, Set(alike).count > 1 { named.outputName += ".\(fileExtension)" }
            if sidecars[file.sidecar.lowercased()]!.count > 1 { named.sidecar = "\(file.path).txt" }
            return named
        }
        for alike in Dictionary(grouping: named.indices, by: { named[$0].outputName.lowercased() }).values
        where alike.count > 1 {
            let folders = alike.map {
                URL(filePath: files[$0].canonicalPath).deletingLastPathComponent().pathComponents
            }
            let shared = (0..<folders.map(\.count).min()!).prefix { place in Set(folders.map { $0[place] }).count == 1 }
            for (index, folder) in zip(alike, folders) {
                let distinct = folder.dropFirst(shared.count).joined(separator: "/")
                if !distinct.isEmpty { named[index].outputName = "\(distinct)/\(named[index].outputName)" }
            }
        }
        return named
    }

    static func withoutExtension(_ name: String) -> String {
        let fileExtension = URL(filePath: name).pathExtension
        return fileExtension.isEmpty ? name : String(name.dropLast(fileExtension.count + 1))
    }

    // MARK: Opening

    /// Calls `body` with a path that opens the file: if its name is not UTF-8, which neither String nor URL can
    /// represent, the path of an open descriptor.
    ///
    /// - Throws: `CommandError` if such a file cannot be opened; rethrows errors of `body`.
    func withOpenablePath<Result>(
        isolation: isolated (any Actor)? = #isolation, _ body: (String) async throws -> Result
    ) async throws -> Result {
        if place.isText { return try await body(path) }
        let descriptor = place.withCString { open($0, O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0 else {
            throw CommandError(.unreadable(reason: String(cString: strerror(errno))), path)
        }
        defer { close(descriptor) }
        do {
            return try await body(SystemPath.path(of: descriptor))
        } catch let error as MediaError {
            throw MediaError(
                code: error.code, source: path, expected: error.expected, found: error.found, remedy: error.remedy)
        }
    }

    /// The path with its folder's symbolic links resolved: equal for all spellings of a path.
    var canonicalPath: String { Self.canonical(path) }

    static func canonical(_ path: String) -> String {
        let url = URL(filePath: path)
        let folder = realpath(url.deletingLastPathComponent().path, nil)
        defer { free(folder) }
        guard let folder else { return url.standardizedFileURL.path }
        return String(cString: folder) + "/" + url.lastPathComponent
    }
}
