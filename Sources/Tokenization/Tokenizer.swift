import Foundation

/// Encodes text to token ids and decodes them, as `tokenizer.json` defines it: replaces spaces by ▁, then applies
/// byte-pair encoding to all text between special tokens; scalars without a piece are encoded as their UTF-8 bytes.
///
/// Adds no `<bos>`: the chat format contains it.
///
/// Source: tokenizers, `models/bpe/model.rs`; transformers, `tokenization_gemma.py`.
package struct Tokenizer: Sendable {
    package let specialTokens: SpecialTokens
    private let vocabulary: Vocabulary
    private let encoding: BytePairEncoding
    private let byteIds: [Int32]  // 256; `unknownId` if a byte has no piece
    private let unknownId: Int32  // of `<unk>`, -1 if there is none
    private let byteOfId: [Int32: UInt8]
    private let scalarIds: [Int32]  // of the basic multilingual plane: -1 if a scalar is not a piece

    private static let space: Unicode.Scalar = " "
    private static let spacePiece: Unicode.Scalar = "\u{2581}"  // ▁

    /// - Parameter file: path of a `tokenizer.json`.
    /// - Throws: `TokenizerError`.
    package init(contentsOf file: String) throws {
        try self.init(TokenizerFile(contentsOf: file))
    }

    init(_ file: TokenizerFile) throws(TokenizerError) {
        try self.init(file.vocabulary, file.merges, addedTokens: file.addedTokens, file: file.path)
    }

    /// - Parameter file: its name in errors.
    /// - Throws: `TokenizerError` if a byte has no piece and there is no `<unk>`.
    init(_ vocabulary: Vocabulary, _ merges: MergeList, addedTokens: [AddedToken], file: String) throws(TokenizerError)
    {
        self.vocabulary = vocabulary
        encoding = BytePairEncoding(merges: MergeTable(merges))
        specialTokens = SpecialTokens(addedTokens)
        var byteIds: [Int32] = []
        let unknownId = vocabulary.id("<unk>".utf8)
        self.unknownId = unknownId.map(Int32.init) ?? -1
        for byte in UInt8.min...UInt8.max {
            let piece = "<0x" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true) + ">"
            guard let id = vocabulary.id(piece.utf8) ?? unknownId else {
                throw TokenizerError(
                    .missingPiece, file: file, place: "model.vocab", expected: "a piece for every byte",
                    found: "no \(piece), and no <unk> in its place")
            }
            byteIds.append(Int32(id))
        }
        self.byteIds = byteIds
        byteOfId = Dictionary(
            zip(byteIds, UInt8.min...UInt8.max).filter { [unknownId] in Int($0.0) != unknownId },
            uniquingKeysWith: { first, _ in first })
        scalarIds = (0..<UInt32(0x10000)).map { value in
            Unicode.Scalar(value).flatMap { vocabulary.id(UTF8.encode($0)!) }.map(Int32.init) ?? -1
        }
    }

    /// One past the greatest id.
    package var vocabularySize: Int { vocabulary.count }

    /// The piece as stored, with ▁ for a space; nil if there is none with this id.
    package func piece(_ id: Int) -> String? { vocabulary.piece(id).map { String(decoding: $0, as: UTF8.self) } }

    /// The bytes of the piece as stored; nil if there is none with this id.
    func storedBytes(of id: Int) -> ArraySlice<UInt8>? { vocabulary.piece(id) }

    /// Ids of the two pieces of every merge, in order of rank.
    var mergedPairs: [(left: Int32, right: Int32)] { encoding.merges.pairs }

    // MARK: Encoding

    /// - Parameter parseSpecial: whether the text of a special token is encoded as that token. Never set it for a
    ///   user's text, which could forge a turn.
    package func encode(_ text: String, parseSpecial: Bool = false) -> [Int] {
        guard parseSpecial else { return encodePlain(text) }
        let bytes = Array(text.utf8)
        var ids: [Int] = []
        var (start, place) = (0, 0)
        while place < bytes.count {
            guard let (length, id) = specialTokens.match(bytes, at: place) else {
                place += 1
                continue
            }
            ids += encodePlain(String(decoding: bytes[start..<place], as: UTF8.self)) + [id]
            place += length
            start = place
        }
        return ids + encodePlain(String(decoding: bytes[start...], as: UTF8.self))
    }

    /// Encodes runs of newlines and the text between them separately if no merge could join them.
    private func encodePlain(_ text: String) -> [Int] {
        var ids: [Int] = []
        ids.reserveCapacity(text.utf8.count / 3)
        var symbols: [Int32] = []
        var isNewlineRun = false
        func flush() {
            encoding.merge(&symbols)
            ids.append(contentsOf: symbols.lazy.map(Int.init))
            symbols.removeAll(keepingCapacity: true)
        }
        for scalar in text.unicodeScalars {
            if (scalar == "\n") != isNewlineRun, encoding.merges.keepsNewlinesApart {
                flush()
                isNewlineRun.toggle()
            }
            appendSymbols(scalar == Self.space ? Self.spacePiece : scalar, to: &symbols)
        }
        flush()
        return ids
    }

    private func appendSymbols(_ scalar: Unicode.Scalar, to symbols: inout [Int32]) {
        let bytes = UTF8.encode(scalar)!
        let id = scalar.value < 0x10000 ? scalarIds[Int(scalar.value)] : vocabulary.id(bytes).map(Int32.init) ?? -1
        if id >= 0 {
            symbols.append(id)
        } else if bytes.contains(where: { byteIds[Int($0)] == unknownId }) {
            // One for a whole run, as in `tokenizers` (`fuse_unk`), which however puts it after byte pieces that
            // follow.
            if symbols.last != unknownId { symbols.append(unknownId) }
        } else {
            for byte in bytes { symbols.append(byteIds[Int(byte)]) }
        }
    }

    // MARK: Decoding

    /// - Parameter skipSpecial: whether special tokens are omitted.
    /// - Returns: the text; each byte of a run of byte pieces that is invalid UTF-8 becomes U+FFFD, an id without a
    ///   piece nothing.
    package func decode(_ ids: [Int], skipSpecial: Bool = true) -> String {
        var decoder = StreamingDecoder(self, skipSpecial: skipSpecial)
        return ids.reduce(into: "") { $0 += decoder.append($1) } + decoder.finish()
    }

    /// Appends the bytes of an id's text: none for a special token, an id without a piece, and a byte piece whose
    /// character is also an ordinary piece, which is used instead.
    package func appendBytes(of id: Int, to buffer: inout [UInt8]) {
        if let byte = byte(id) {
            let scalar = byte == 0x20 ? Self.spacePiece : Unicode.Scalar(byte)
            if byte >= 0x80 || scalarIds[Int(scalar.value)] < 0 { buffer.append(byte) }
            return
        }
        guard !specialTokens.contains(id), let piece = vocabulary.piece(id) else { return }
        let space: (UInt8, UInt8, UInt8) = (0xE2, 0x96, 0x81)  // ▁
        var index = piece.startIndex
        while index < piece.endIndex {
            if piece[index] == space.0, index + 2 < piece.endIndex, piece[index + 1] == space.1,
                piece[index + 2] == space.2
            {
                buffer.append(0x20)
                index += 3
            } else {
                buffer.append(piece[index])
                index += 1
            }
        }
    }

    /// The byte of a byte piece; nil for other pieces.
    func byte(_ id: Int) -> UInt8? { Int32(exactly: id).flatMap { byteOfId[$0] } }

    /// The text of a piece that is not a byte piece.
    func text(_ id: Int) -> String {
        guard let piece = piece(id) else { return "" }
        return String(String.UnicodeScalarView(piece.unicodeScalars.map { $0 == Self.spacePiece ? Self.space : $0 }))
    }
}
