import Foundation
import Hummingbird
import NIOCore
import Synchronization

/// A form with files, `multipart/form-data` of RFC 7578, parsed as a stream: files are written to disk.
struct MultipartForm: Sendable {
    /// In the order of the request; names may repeat.
    private(set) var fields: [(name: String, value: String)] = []
    private(set) var files: [(name: String, file: UploadedFile)] = []

    /// - Parameters:
    ///   - limit: maximum size of the form, in bytes.
    ///   - folder: the folder for files.
    /// - Throws: `WireError`.
    init(_ request: Request, limit: Int, folder: URL = FileManager.default.temporaryDirectory) async throws {
        guard let boundary = Self.boundary(request.headers[.contentType] ?? "") else {
            throw WireError(
                .unsupportedMediaType,
                "Content-Type: expected multipart/form-data with a boundary, found "
                    + (request.headers[.contentType] ?? "none"))
        }
        var parser = MultipartParser(boundary: boundary)
        var read = 0
        var form = Form(folder: folder)
        for try await chunk in request.body {
            read += chunk.readableBytes
            guard read <= limit else { throw WireError.tooLarge(limit) }
            try parser.append(Array(buffer: chunk)) { try form.take($0) }
        }
        guard parser.isAtEnd else { throw WireError(.badRequest, "the form ends before its last boundary") }
        (fields, files) = (form.fields, form.files)
    }

    private static func boundary(_ type: String) -> String? {
        let parts = type.split(separator: ";").map { $0.trimmingCharacters(in: .whitespaces) }
        guard parts.first?.lowercased() == "multipart/form-data" else { return nil }
        let given = parts.first { $0.lowercased().hasPrefix("boundary=") }?.dropFirst("boundary=".count)
        guard let boundary = given?.trimmingCharacters(in: CharacterSet(charactersIn: "\"")),
            (1...70).contains(boundary.utf8.count)
        else { return nil }
        return boundary
    }

    func value(_ name: String) -> String? { fields.first { $0.name == name }?.value }

    /// The values of a field that may be repeated, with or without brackets after its name.
    func values(_ name: String) -> [String] {
        fields.filter { $0.name == name || $0.name == "\(name)[]" }.map(\.value)
    }

    /// Collects the parsed parts.
    private struct Form {
        let folder: URL
        var fields: [(name: String, value: String)] = []
        var files: [(name: String, file: UploadedFile)] = []
        private var part: (name: String, file: UploadedFile?, bytes: [UInt8]) = ("", nil, [])
        private var fieldBytes = 0

        init(folder: URL) { self.folder = folder }

        mutating func take(_ event: MultipartParser.Event) throws {
            switch event {
            case .begin(let name, let fileName):
                part = (name, try fileName.map { try UploadedFile(named: $0, in: folder) }, [])
            case .bytes(let bytes):
                if let file = part.file { return try file.append(bytes) }
                fieldBytes += bytes.count
                guard fieldBytes <= 1 << 20 else { throw WireError.tooLarge(1 << 20) }
                part.bytes += bytes
            case .end:
                guard fields.count + files.count < 64 else {
                    throw WireError(.badRequest, "the form: expected at most 64 parts, found more")
                }
                if let file = part.file {
                    try file.close()
                    files.append((part.name, file))
                } else {
                    fields.append((part.name, String(decoding: part.bytes, as: UTF8.self)))
                }
            }
        }
    }
}

/// A streaming parser, for chunks of any size.
struct MultipartParser {
    enum Event: Equatable {
        case begin(name: String, fileName: String?)
        case bytes(ArraySlice<UInt8>)
        case end
    }

    private enum State { case preamble, afterBoundary, headers, body, end }

    private let delimiter: [UInt8]
    /// The first boundary is not preceded by a line break.
    private var pending: [UInt8] = [0x0D, 0x0A]
    private var state = State.preamble

    init(boundary: String) { delimiter = Array("\r\n--\(boundary)".utf8) }

    var isAtEnd: Bool { state == .end }

    mutating func append(_ bytes: [UInt8], _ yield: (Event) throws -> Void) throws {
        pending += bytes
        while try step(yield) {}
    }

    /// - Returns: whether the pending bytes may allow another step.
    private mutating func step(_ yield: (Event) throws -> Void) throws -> Bool {
        switch state {
        case .preamble, .body:
            guard let place = Self.find(delimiter, in: pending) else {
                // The end of the pending bytes may be the beginning of a boundary.
                let settled = max(0, pending.count - delimiter.count + 1)
                if state == .body, settled > 0 { try yield(.bytes(pending[..<settled])) }
                pending.removeFirst(settled)
                return false
            }
            if state == .body {
                if place > 0 { try yield(.bytes(pending[..<place])) }
                try yield(.end)
            }
            pending.removeFirst(place + delimiter.count)
            state = .afterBoundary
        case .afterBoundary:
            guard pending.count >= 2 else { return false }
            if pending.starts(with: "--".utf8) {
                state = .end
                return true
            }
            guard let end = Self.find([0x0D, 0x0A], in: pending) else {
                guard pending.count < 256 else { throw Self.malformed("a line end after a boundary") }
                return false
            }
            // Keeps the line break: it precedes the headers, of which there may be none.
            pending.removeFirst(end)
            state = .headers
        case .headers:
            guard let end = Self.find([0x0D, 0x0A, 0x0D, 0x0A], in: pending) else {
                guard pending.count < 16 << 10 else { throw Self.malformed("headers of at most 16 kB") }
                return false
            }
            let headers = String(decoding: pending[..<end], as: UTF8.self).components(separatedBy: "\r\n")
            pending.removeFirst(end + 4)
            try yield(try Self.begin(headers))
            state = .body
        case .end:
            pending = []
            return false
        }
        return true
    }

    private static func begin(_ headers: [String]) throws(WireError) -> Event {
        let key = "content-disposition:"
        guard let disposition = headers.first(where: { $0.lowercased().hasPrefix(key) }),
            let name = parameter("name", of: disposition)
        else { throw malformed("a name for every part") }
        return .begin(name: name, fileName: parameter("filename", of: disposition))
    }

    /// The value of a parameter, quoted, with `%22` and `\"` for a quote, or unquoted.
    private static func parameter(_ name: String, of header: String) -> String? {
        var rest = header[...]
        while let semicolon = rest.firstIndex(of: ";") {
            rest = rest[rest.index(after: semicolon)...].drop { $0 == " " }
            guard rest.lowercased().hasPrefix("\(name)=") else { continue }
            rest = rest.dropFirst(name.count + 1)
            guard rest.first == "\"" else { return String(rest.prefix { $0 != ";" }) }
            var text = ""
            var isEscaped = false
            for character in rest.dropFirst() {
                if isEscaped {
                    text.append(character)
                    isEscaped = false
                } else if character == "\\" {
                    isEscaped = true
                } else if character == "\"" {
                    break
                } else {
                    text.append(character)
                }
            }
            return text.replacing("%22", with: "\"")
        }
        return nil
    }

    private static func malformed(_ expected: String) -> WireError {
        WireError(.badRequest, "the form: expected \(expected), found none")
    }

    private static func find(_ needle: [UInt8], in bytes: [UInt8]) -> Int? {
        bytes.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress else { return nil }
            var place = 0
            while place + needle.count <= bytes.count,
                let found = memchr(start + place, Int32(needle[0]), bytes.count - needle.count - place + 1)
            {
                place = UnsafeRawPointer(found) - start
                if memcmp(found, needle, needle.count) == 0 { return place }
                place += 1
            }
            return nil
        }
    }
}

/// A file that a client sent, deleted from disk with its last reference.
final class UploadedFile: Sendable {
    /// The client's name for it, for errors; not a path here.
    let name: String
    let url: URL
    private let descriptor: Int32
    private let isOpen = Atomic(true)

    /// - Throws: `WireError` with status 507 if the disk is full.
    init(named name: String, in folder: URL) throws(WireError) {
        // Old browsers send a path.
        let last = name.split { $0 == "/" || $0 == "\\" }.last.map(String.init) ?? "file"
        self.name = last
        // Readers of media use the extension if the content is ambiguous.
        let suffix = last.lastIndex(of: ".").map { String(last[$0...]) } ?? ""
        let ending =
            suffix.count <= 8 && suffix.dropFirst().allSatisfy({ $0.isASCII && $0.isLetter || $0.isNumber })
            ? suffix : ""
        var path = Array(folder.appending(path: "gemma4-XXXXXX\(ending)").path.utf8CString)
        descriptor = mkstemps(&path, Int32(ending.utf8.count))
        guard descriptor >= 0 else { throw Self.diskError }
        url = URL(filePath: path.withUnsafeBufferPointer { String(cString: $0.baseAddress!) })
    }

    deinit {
        try? close()
        unlink(url.path)
    }

    private static let diskError = WireError(
        .init(code: 507, reasonPhrase: "Insufficient Storage"), "this server cannot store the file", code: "storage")

    func append(_ bytes: ArraySlice<UInt8>) throws(WireError) {
        var rest = bytes
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { throw Self.diskError }
            rest = rest.dropFirst(written)
        }
    }

    /// Closes the file for writing.
    func close() throws(WireError) {
        guard isOpen.exchange(false, ordering: .acquiringAndReleasing) else { return }
        guard Foundation.close(descriptor) == 0 else { throw Self.diskError }
    }
}
