import Foundation
import Gemma4
import JSONText
import Tensors

/// A prompt cache file: keys and values from which any process with the same model can continue.
///
///     0   "gemma4kv"
///     8   version, 8 bytes, little-endian like all integers of this file
///     16  byte count of the header, 8 bytes
///     24  XXH64 of the header, 8 bytes
///     32  header, JSON
///     …   tokens, 4 bytes each
///     …   pages of each layer that owns keys and values, keys before values, in the layout of memory
///
/// The header:
///
///     {"model": fingerprint, "name": for messages, "kv_cache": type of keys and values, "positions": token count,
///      "media": [{"position": of the first soft token, "count": soft tokens, "hash": SHA-256}],
///      "pages": [[page count, bytes per page] for each layer],
///      "states": [{"length": positions, "layers": [[index of the first page, [numbers of the pages]]]}],
///      "conversation": {"messages": […],
///                       "media": [{"kind": "image", "pieces": [{"count": soft tokens, "hash": SHA-256}],
///                                  "labels": [text before each piece]}]},
///      "checksum": XXH64 of the tokens and pages, chained segment by segment}
package struct PromptCacheFile: Sendable {
    /// The properties that must be equal for keys and values to be valid.
    package struct Model: Sendable, Equatable {
        /// A hash of configuration, weights and precision.
        package let fingerprint: String
        /// For messages.
        package let name: String
        package let keyValueType: String

        package init(fingerprint: String, name: String, keyValueType: String) {
            (self.fingerprint, self.name, self.keyValueType) = (fingerprint, name, keyValueType)
        }
    }

    /// All tokens of prompt and answer; each state holds a prefix of them.
    package let tokens: [Int]
    /// The positions of soft tokens, ascending, and the content hashes of their media.
    package let media: [(positions: Range<Int>, hash: ContentHash)]
    /// Shortest first.
    package let states: [CacheSnapshot]
    /// Nil for a prompt cache without a conversation.
    package let conversation: Conversation?

    /// The saved conversation.
    package struct Conversation: Sendable {
        /// One medium, in the order of the conversation: what `EncoderInput` needs.
        package struct Medium: Sendable {
            package let kind: String
            package let pieces: [(hash: ContentHash, softTokenCount: Int)]
            package let labels: [String]

            package init(kind: String, pieces: [(hash: ContentHash, softTokenCount: Int)], labels: [String]) {
                (self.kind, self.pieces, self.labels) = (kind, pieces, labels)
            }
        }

        package let messages: JSONValue
        package let media: [Medium]

        package init(messages: JSONValue, media: [Medium]) { (self.messages, self.media) = (messages, media) }
    }

    package init(
        tokens: [Int], media: [(positions: Range<Int>, hash: ContentHash)], states: [CacheSnapshot],
        conversation: Conversation? = nil
    ) {
        (self.tokens, self.media, self.states, self.conversation) = (tokens, media, states, conversation)
    }

    /// The unit at each position.
    package var units: [PromptUnit] { [PromptUnit](tokens, media: media) }

    fileprivate static let magic = Array("gemma4kv".utf8)
    /// Incremented if this format, or the page layout of an existing type, changes.
    fileprivate static let version: UInt64 = 2
    fileprivate static let startByteCount = 32
    fileprivate static let headerLimit = 1 << 28
    private static let stateLimit = 16

    /// Whether a file starts with the magic of this format.
    package static func begins(_ path: String) -> Bool {
        guard let file = try? ReadableFile(path), file.byteCount >= magic.count else { return false }
        return (try? file.bytes(magic.count, "start")) == magic
    }

    /// Checks whether an existing file may be replaced.
    ///
    /// - Throws: `PromptCacheError` if the file is a conversation, unless a conversation replaces it, or is not of
    ///   this format.
    package static func checkReplaceable(_ path: String, byConversation: Bool) throws {
        guard FileManager.default.fileExists(atPath: path) else { return }
        if try ReadableFile(path).header()["conversation"] != nil, !byConversation {
            throw PromptCacheError(
                .conversation, file: path, expected: "a prompt cache to write over", found: "a saved conversation",
                remedy: "Give another name.")
        }
    }

    // MARK: Writing

    /// The temporary name, in the same folder, of a file until it is complete.
    package static func draft(of path: String) -> String {
        "\(URL(filePath: path).resolvingSymlinksInPath().path).\(getpid()).partial"
    }

    /// Writes the file under a temporary name and renames it; an existing file stays until then.
    ///
    /// - Throws: `PromptCacheError`.
    package func write(to path: String, of model: Model) throws {
        let draft = Self.draft(of: path)
        let target = String(draft.dropLast(".\(getpid()).partial".count))
        func failure(_ reason: Int32) -> PromptCacheError {
            PromptCacheError(
                .notWritable, file: path, found: "cannot be written: \(String(cString: strerror(reason)))",
                remedy: "Give another name, or make room.")
        }
        var status = stat()
        let exists = stat(target, &status) == 0
        guard !exists || status.st_mode & S_IFMT == S_IFREG else {
            throw PromptCacheError(
                .notWritable, file: path, expected: "a plain file", found: "a folder, pipe or device",
                remedy: "Give another name.")
        }
        let descriptor = open(
            draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, exists ? status.st_mode & 0o777 : 0o666)
        guard descriptor >= 0 else { throw failure(errno) }
        var isOpen = true
        defer {
            if isOpen { close(descriptor) }
            unlink(draft)  // without effect after the rename
        }
        func write(_ bytes: UnsafeRawBufferPointer) throws {
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = Foundation.write(
                    descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                guard count >= 0 || errno == EINTR else { throw failure(errno) }
                rest = rest.dropFirst(max(0, count))
            }
        }
        let (pages, numbers) = numberedPages
        let ids = tokens.map { UInt32(clamping: $0).littleEndian }
        var checksum = ids.withUnsafeBytes { XXH64.hash($0) }
        for page in pages.joined() { page.withBytes { checksum = XXH64.hash($0, seed: checksum) } }
        let header = Array(header(model, pages, numbers, checksum).json.utf8)
        let start =
            Self.magic
            + [Self.version, UInt64(header.count), header.withUnsafeBytes { XXH64.hash($0) }]
            .flatMap(\.littleEndianBytes)
        try (start + header).withUnsafeBytes(write)
        try ids.withUnsafeBytes(write)
        for page in pages.joined() { try page.withBytes(write) }
        isOpen = false
        // Some file systems report a full disk only on close.
        guard close(descriptor) == 0, rename(draft, target) == 0 else { throw failure(errno) }
    }

    /// The distinct pages of each layer (shared pages once), and the page numbers of each state and layer.
    private var numberedPages: (pages: [[KeyValuePage]], numbers: [[[Int]]]) {
        let layers = states.first?.layers.count ?? 0
        var pages = Array(repeating: [KeyValuePage](), count: layers)
        var known = Array(repeating: [ObjectIdentifier: Int](), count: layers)
        let numbers = states.map { state in
            state.layers.enumerated().map { layer, content in
                content.pages.map { page in
                    if let number = known[layer][page.identity] { return number }
                    pages[layer].append(page)
                    known[layer][page.identity] = pages[layer].count - 1
                    return pages[layer].count - 1
                }
            }
        }
        return (pages, numbers)
    }

    private func header(
        _ model: Model, _ pages: [[KeyValuePage]], _ numbers: [[[Int]]], _ checksum: UInt64
    ) -> JSONValue {
        var members: [JSONValue.Member] = [
            .init("model", .string(model.fingerprint)), .init("name", .string(model.name)),
            .init("kv_cache", .string(model.keyValueType)), .init("positions", .integer(tokens.count)),
            .init(
                "media",
                .array(
                    media.map {
                        [
                            "position": .integer($0.positions.lowerBound), "count": .integer($0.positions.count),
                            "hash": .string($0.hash.hex),
                        ]
                    })),
            .init(
                "pages", .array(pages.map { [.integer($0.count), .integer($0.first?.byteCount ?? 0)] })),
            .init(
                "states",
                .array(
                    zip(states, numbers).map { state, numbers in
                        let layers = zip(state.layers, numbers).map { layer, numbers -> JSONValue in
                            [.integer(layer.first), .array(numbers.map(JSONValue.integer))]
                        }
                        return ["length": .integer(state.length), "layers": .array(layers)]
                    })),
        ]
        if let conversation { members.append(.init("conversation", conversation.json)) }
        members.append(.init("checksum", .string(String(checksum, radix: 16))))
        return .object(members)
    }
}

// MARK: - Reading

extension PromptCacheFile {
    /// Reads a file. Every size is checked against the file and the model before memory is allocated.
    ///
    /// - Parameters:
    ///   - identity: the identity of `model`, which must have written the file.
    ///   - byteLimit: the maximum number of bytes of all pages.
    /// - Throws: `PromptCacheError`, `EngineError` if the pages take more than `byteLimit`.
    package init(contentsOf path: String, of identity: Model, _ model: Gemma4Model, byteLimit: Int) throws {
        let file = try ReadableFile(path)
        let header = try file.header()
        func damaged(_ place: String, expected: String, found: String) -> PromptCacheError {
            file.damaged(place, expected: expected, found: found)
        }
        func integer(_ value: JSONValue?, _ place: String, in range: ClosedRange<Int>) throws -> Int {
            guard case .integer(let number)? = value, range.contains(number) else {
                throw damaged(
                    place, expected: "a number from \(range.lowerBound) to \(range.upperBound)",
                    found: value?.summary ?? "none")
            }
            return number
        }
        func array(_ value: JSONValue?, _ place: String, count: Int? = nil) throws -> [JSONValue] {
            guard case .array(let values)? = value, count == nil || count == values.count else {
                throw damaged(
                    place, expected: count.map { "an array of \($0)" } ?? "an array", found: value?.summary ?? "none")
            }
            return values
        }
        try Self.check(header, against: identity, file: path)

        let text = model.configuration.textConfig
        var rest = file.byteCount - file.position
        let positions = try integer(
            header["positions"], "positions", in: 0...min(rest / 4, text.maxPositionEmbeddings))
        rest -= 4 * positions
        let empty = model.makeCache()
        let sizes = empty.pageByteCounts
        // Without states there are no layers either.
        let listed = try array(header["pages"], "pages")
        var counts: [Int] = []
        for (layer, value) in try array(header["pages"], "pages", count: listed.isEmpty ? 0 : sizes.count).enumerated()
        {
            let pair = try array(value, "pages of layer \(layer)", count: 2)
            let count = try integer(pair[0], "pages of layer \(layer)", in: 0...rest / sizes[layer])
            _ = try integer(
                pair[1], "bytes of a page of layer \(layer)", in: count == 0 ? 0...Int.max : sizes[layer]...sizes[layer]
            )
            rest -= count * sizes[layer]
            counts.append(count)
        }
        guard rest == 0 else {
            throw damaged("end", expected: "no more bytes", found: "\(rest) more")
        }
        let pageBytes = zip(counts, sizes).reduce(0) { $0 + $1.0 * $1.1 }
        guard pageBytes <= byteLimit else { throw EngineError(.memory(needed: pageBytes, budget: byteLimit)) }

        var layouts: [(length: Int, layers: [(first: Int, numbers: [Int])])] = []
        let states = try array(header["states"], "states")
        guard states.count <= Self.stateLimit else {
            throw damaged("states", expected: "at most \(Self.stateLimit)", found: "\(states.count)")
        }
        for (index, value) in states.enumerated() {
            let place = "state \(index)"
            let length = try integer(value["length"], place, in: 1...max(1, positions))
            let layers = try array(value["layers"], place, count: counts.count).enumerated().map { layer, value in
                let pair = try array(value, place, count: 2)
                return (
                    first: try integer(pair[0], place, in: 0...positions),
                    numbers: try array(pair[1], place).map {
                        try integer($0, "\(place), layer \(layer)", in: 0...max(0, counts[layer] - 1))
                    }
                )
            }
            guard length <= positions, empty.accepts(layers.map { ($0.first, $0.numbers.count) }, length: length),
                zip(counts, layers).allSatisfy({ $0 > 0 || $1.numbers.isEmpty })
            else {
                throw damaged(place, expected: "the pages of \(length) positions of this model", found: "others")
            }
            layouts.append((length, layers))
        }

        func hash(_ value: JSONValue, _ place: String) throws -> ContentHash {
            guard let hash = value["hash"]?.string.flatMap(ContentHash.init(hex:)) else {
                throw damaged(place, expected: "a SHA-256", found: value["hash"]?.summary ?? "none")
            }
            return hash
        }
        var media: [(positions: Range<Int>, hash: ContentHash)] = []
        for (index, value) in try array(header["media"], "media").enumerated() {
            let place = "medium \(index)"
            let first = try integer(
                value["position"], place, in: (media.last?.positions.upperBound ?? 0)...max(0, positions))
            let count = try integer(value["count"], place, in: 0...positions - first)
            media.append((first..<first + count, try hash(value, place)))
        }
        let conversation = try header["conversation"].map { value in
            let seen = try array(value["media"], "media of the conversation").map { value in
                let place = "a medium of the conversation"
                guard let kind = value["kind"]?.string, ["image", "audio", "video"].contains(kind) else {
                    throw damaged(place, expected: "image, audio or video", found: value["kind"]?.summary ?? "none")
                }
                let pieces = try array(value["pieces"], place).map {
                    (hash: try hash($0, place), softTokenCount: try integer($0["count"], place, in: 0...positions))
                }
                let labels = try array(value["labels"], place).map { value in
                    guard let label = value.string else {
                        throw damaged(place, expected: "a text", found: value.summary)
                    }
                    return label
                }
                guard labels.isEmpty || labels.count == pieces.count else {
                    throw damaged(place, expected: "\(pieces.count) labels", found: "\(labels.count)")
                }
                return Conversation.Medium(kind: kind, pieces: pieces, labels: labels)
            }
            return Conversation(messages: .array(try array(value["messages"], "messages")), media: seen)
        }

        var checksum: UInt64 = 0
        let ids = try file.bytes(4 * positions, "tokens").withUnsafeBytes { bytes in
            checksum = XXH64.hash(bytes)
            return (0..<positions).map {
                Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))
            }
        }
        var pages: [[KeyValuePage]] = []
        for layer in counts.indices {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: sizes[layer], alignment: 64)
            defer { buffer.deallocate() }
            pages.append(
                try (0..<counts[layer]).map { number in
                    try file.read(buffer, "layer \(layer), page \(number)")
                    var page = empty.makePage(owner: layer, on: model.device)
                    page.replaceBytes(UnsafeRawBufferPointer(buffer))
                    page.withBytes { checksum = XXH64.hash($0, seed: checksum) }
                    return page
                })
        }
        guard header["checksum"]?.string == String(checksum, radix: 16) else {
            throw damaged("tokens and pages", expected: "bytes of the checksum in the header", found: "others")
        }
        if let unknown = ids.first(where: { $0 >= text.vocabSize }) {
            throw damaged("tokens", expected: "ids below \(text.vocabSize)", found: "\(unknown)")
        }
        self.init(
            tokens: ids, media: media,
            states: layouts.map { length, layers in
                CacheSnapshot(
                    length: length,
                    layers: zip(layers, pages).map { layer, pages in
                        .init(first: layer.first, pages: layer.numbers.map { pages[$0] })
                    })
            }.sorted { $0.length < $1.length }, conversation: conversation)
    }

    private static func check(_ header: JSONValue, against model: Model, file: String) throws {
        let remedy = "Take the model and the options that wrote it, or give another name."
        let fingerprint = header["model"]?.string
        guard fingerprint == model.fingerprint else {
            func shown(_ name: String, _ fingerprint: String) -> String { "\(name) (\(fingerprint.prefix(12)))" }
            throw PromptCacheError(
                .otherModel, file: file,
                expected: "keys and values of \(shown(model.name, model.fingerprint))",
                found: "those of \(shown(header["name"]?.string ?? "another model", fingerprint ?? "unknown"))",
                remedy: remedy)
        }
        guard header["kv_cache"]?.string == model.keyValueType else {
            throw PromptCacheError(
                .otherKeyValueType, file: file, expected: "keys and values in \(model.keyValueType)",
                found: header["kv_cache"]?.string ?? "an unknown type",
                remedy: "Start with the --kv-cache that wrote it, or give another name.")
        }
    }
}

extension PromptCacheFile.Conversation {
    fileprivate var json: JSONValue {
        let media = media.map { medium -> JSONValue in
            let pieces = medium.pieces.map { piece -> JSONValue in
                ["count": .integer(piece.softTokenCount), "hash": .string(piece.hash.hex)]
            }
            return [
                "kind": .string(medium.kind), "pieces": .array(pieces),
                "labels": .array(medium.labels.map(JSONValue.string)),
            ]
        }
        return ["messages": messages, "media": .array(media)]
    }
}

/// A file that is read once, sequentially, and safe against concurrent changes.
private final class ReadableFile {
    private let path: String
    private let descriptor: Int32
    let byteCount: Int
    private(set) var position = 0

    init(_ path: String) throws {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)  // O_NONBLOCK: a pipe must not block
        var status = stat()
        let isOpen = descriptor >= 0 && fstat(descriptor, &status) == 0
        byteCount = Int(status.st_size)
        guard isOpen else {
            throw PromptCacheError(
                .notReadable, file: path, found: "cannot be read: \(String(cString: strerror(errno)))",
                remedy: "Check the path.")
        }
        guard status.st_mode & S_IFMT == S_IFREG else { throw notACache("a folder, pipe or device") }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    func damaged(_ place: String, expected: String, found: String) -> PromptCacheError {
        PromptCacheError(
            .damaged, file: path, place: place, expected: expected, found: found,
            remedy: "The file is damaged: remove it.")
    }

    private func notACache(_ found: String) -> PromptCacheError {
        PromptCacheError(
            .notACache, file: path, expected: "a prompt cache or a saved conversation", found: found,
            remedy: "Give another name.")
    }

    func read(_ buffer: UnsafeMutableRawBufferPointer, _ place: String) throws {
        var rest = buffer[...]
        while !rest.isEmpty {
            let count = Foundation.read(
                descriptor, UnsafeMutableRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw PromptCacheError(
                    .notReadable, file: path, place: place,
                    found: "cannot be read: \(String(cString: strerror(errno)))", remedy: "Check the disk.")
            }
            guard count > 0 else {
                throw damaged(place, expected: "\(buffer.count) bytes", found: "the end of the file")
            }
            rest = rest.dropFirst(count)
        }
        position += buffer.count
    }

    func bytes(_ count: Int, _ place: String) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            try read(UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count]), place)
            initialized = count
        }
    }

    /// Reads start and header.
    func header() throws -> JSONValue {
        guard byteCount >= PromptCacheFile.startByteCount else { throw notACache("\(byteCount) bytes") }
        guard try bytes(PromptCacheFile.magic.count, "start") == PromptCacheFile.magic else {
            throw notACache("another file")
        }
        let numbers = try bytes(24, "start").withUnsafeBytes { bytes in
            (0..<3).map { UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self)) }
        }
        guard numbers[0] == PromptCacheFile.version else {
            throw PromptCacheError(
                .version, file: path, expected: "version \(PromptCacheFile.version)", found: "version \(numbers[0])",
                remedy: "Remove the file, or take the gemma4 that wrote it.")
        }
        let limit = min(PromptCacheFile.headerLimit, byteCount - position)
        guard let count = Int(exactly: numbers[1]), count <= limit else {
            throw damaged("start", expected: "a header of at most \(limit) bytes", found: "one of \(numbers[1])")
        }
        let header = try bytes(count, "header")
        guard header.withUnsafeBytes({ XXH64.hash($0) }) == numbers[2] else {
            throw damaged("header", expected: "bytes of its checksum", found: "others")
        }
        do throws(JSONValue.SyntaxError) { return try JSONValue(parsing: header) } catch {
            throw damaged("header", expected: "JSON", found: error.found)
        }
    }
}

extension UInt64 {
    fileprivate var littleEndianBytes: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: self >> (8 * $0)) } }
}
