import Foundation

/// A path as the system stores it: any bytes but 0. A String cannot represent those that are not UTF-8.
struct SystemPath: Hashable {
    let bytes: [UInt8]

    init(bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }

    /// A program argument. Swift replaces invalid UTF-8 by U+FFFD, so the bytes are taken from `argv`.
    init(argument: String) {
        let given = argument.unicodeScalars.contains("\u{FFFD}") ? Self.rawArguments[argument] : nil
        bytes = given ?? Array(argument.utf8)
    }

    private static let rawArguments: [String: [UInt8]] = {
        let arguments = CommandLine.unsafeArgv
        return (0..<Int(CommandLine.argc)).reduce(into: [:]) { all, index in
            guard let argument = arguments[index] else { return }
            all[String(cString: argument)] = Array(UnsafeRawBufferPointer(start: argument, count: strlen(argument)))
        }
    }()

    var isText: Bool { String(validating: bytes, as: UTF8.self) != nil }

    /// The path with `\xE4` for each byte that is not UTF-8. For terminals use `text.displayed`.
    var text: String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        var text = ""
        var parser = Unicode.UTF8.ForwardParser()
        var rest = bytes.makeIterator()
        var place = 0
        while true {
            switch parser.parseScalar(from: &rest) {
            case .valid(let scalar):
                text.unicodeScalars.append(Unicode.UTF8.decode(scalar))
                place += scalar.count
            case .error(let length):
                text += bytes[place..<place + length].map { String(format: "\\x%02X", $0) }.joined()
                place += length
            case .emptyInput: return text
            }
        }
    }

    func appending(_ name: SystemPath) -> SystemPath {
        bytes.last == UInt8(ascii: "/")
            ? SystemPath(bytes: bytes + name.bytes) : SystemPath(bytes: bytes + [UInt8(ascii: "/")] + name.bytes)
    }

    func withCString<Result>(_ body: (UnsafePointer<CChar>) throws -> Result) rethrows -> Result {
        try (bytes + [0]).withUnsafeBufferPointer { bytes in
            try bytes.withMemoryRebound(to: CChar.self) { try body($0.baseAddress!) }
        }
    }

    /// A path that opens the file while the program runs: if its name is not UTF-8, which neither String nor URL can
    /// represent, the path of an open descriptor. If there is no such file, the text, which opens nothing.
    var openable: String {
        guard !isText else { return text }
        let descriptor = withCString { open($0, O_RDONLY | O_CLOEXEC) }
        return descriptor < 0 ? text : Self.path(of: descriptor)
    }

    /// A path of an open file, valid in other processes too if the system supports it.
    static func path(of descriptor: Int32) -> String {
        #if os(Linux)
            "/proc/\(getpid())/fd/\(descriptor)"
        #else
            "/dev/fd/\(descriptor)"
        #endif
    }

    /// Follows links; nil if the file does not exist.
    var status: stat? {
        var status = stat()
        return withCString { stat($0, &status) } == 0 ? status : nil
    }
}

/// The files of a folder and its subfolders.
struct FolderListing {
    /// Paths relative to the folder, sorted.
    private(set) var files: [SystemPath] = []
    /// Number of files of other kinds, by extension.
    private(set) var leftOut: [String: Int] = [:]
    /// Unreadable folders with the system's reason.
    private(set) var unreadable: [(folder: SystemPath, reason: String)] = []

    /// - Parameters:
    ///   - extensions: the extensions to list, in lowercase.
    ///   - seen: folders that were listed before. Each is listed once, whatever links lead to it.
    init(_ folder: SystemPath, _ extensions: Set<String>, seen: inout Set<FileIdentity>) {
        var rest = [SystemPath(bytes: [])]
        while let below = rest.popLast() {
            let path = below.bytes.isEmpty ? folder : folder.appending(below)
            guard let status = path.status, seen.insert(FileIdentity(status)).inserted else { continue }
            guard let stream = path.withCString({ opendir($0) }) else {
                unreadable.append((path, String(cString: strerror(errno))))
                continue
            }
            defer { closedir(stream) }
            while let entry = readdir(stream) {
                let name = SystemPath(bytes: Self.name(entry))
                if name.bytes == Array(".".utf8) || name.bytes == Array("..".utf8) { continue }
                // AppleDouble files, which macOS stores beside a file on foreign volumes.
                if name.bytes.starts(with: "._".utf8) { continue }
                let place = below.bytes.isEmpty ? name : below.appending(name)
                add(place, folder.appending(place).status, extensions, &rest)
            }
        }
        files.sort { $0.text < $1.text }
    }

    /// - Parameter status: nil for a broken link, which is reported when the file is opened.
    private mutating func add(
        _ place: SystemPath, _ status: stat?, _ extensions: Set<String>, _ rest: inout [SystemPath]
    ) {
        let identity = status.map(FileIdentity.init)
        if identity?.isFolder == true { return rest.append(place) }
        let fileExtension = URL(filePath: place.text).pathExtension.lowercased()
        if extensions.contains(fileExtension), identity?.isRegularFile != false { return files.append(place) }
        let kind =
            identity?.isRegularFile == false
            ? "special" : fileExtension.isEmpty ? "without extension" : ".\(fileExtension)"
        leftOut[kind, default: 0] += 1
    }

    /// On some file systems `d_name` is longer than its declaration: its length is that of the string.
    private static func name(_ entry: UnsafeMutablePointer<dirent>) -> [UInt8] {
        let start = UnsafeRawPointer(entry) + MemoryLayout<dirent>.offset(of: \.d_name)!
        return Array(UnsafeRawBufferPointer(start: start, count: strlen(start.assumingMemoryBound(to: CChar.self))))
    }
}
