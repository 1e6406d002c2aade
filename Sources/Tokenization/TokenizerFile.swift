import Foundation

/// The parts of a `tokenizer.json` that Gemma 4's tokenizer consists of.
///
/// The published file has 30 MB, nearly all of it a vocabulary and merges: these are read straight from the bytes.
struct TokenizerFile {
    let path: String
    private(set) var vocabulary = Vocabulary(expecting: 0)
    private(set) var encoding = BytePairEncoding(expecting: 0)
    private(set) var addedTokens: [(text: String, id: Int, isSpecial: Bool)] = []

    private static let idLimit = 1 << 24

    init(contentsOf path: String) throws(TokenizerError) {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
        } catch {
            throw TokenizerError(.unreadable, file: path, place: "file", expected: "a readable tokenizer.json", found: "none")
        }
        try self.init(data, path: path)
    }

    init(_ data: Data, path: String) throws(TokenizerError) {
        self.path = path
        let bytes = [UInt8](data)
        var reader = JSONReader(bytes, file: path)
        var places: [String: Int] = [:]
        try reader.readObject { key, reader throws(TokenizerError) in
            places[key] = reader.place
            try reader.skipValue()
        }
        try reader.expectEnd()
        func at(_ key: String) throws(TokenizerError) -> JSONReader {
            guard let place = places[key] else {
                throw TokenizerError(.malformed, file: path, place: key, expected: "this key", found: "none")
            }
            return JSONReader(bytes, file: path, place: place)
        }
        try Self.checkNormalizer(places["normalizer"].map { JSONReader(bytes, file: path, place: $0) }, path)
        if places["added_tokens"] != nil { try readAddedTokens(at("added_tokens")) }
        try readModel(at("model"))
    }

    /// `{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}`, alone or as a sequence of one.
    private static func checkNormalizer(_ reader: JSONReader?, _ path: String) throws(TokenizerError) {
        var text = ""
        if var reader {
            let start = reader.place
            try reader.skipValue()
            text = String(decoding: reader.bytes[start..<reader.place].filter { !JSONReader.isSpace($0) || $0 == 0x20 }, as: UTF8.self)
        }
        let squeezed = text.replacingOccurrences(of: "\": ", with: "\":").replacingOccurrences(of: ", \"", with: ",\"")
        let isSpaceReplacement = ["▁", "\\u2581"].contains { mark in
            squeezed.contains(#""pattern":{"String":" "}"#) && squeezed.contains(#""content":"\#(mark)""#)
        }
        guard isSpaceReplacement, squeezed.components(separatedBy: #""pattern""#).count == 2 else {
            throw TokenizerError(
                .unsupported, file: path, place: "normalizer", expected: "the replacement of \" \" by \"▁\", as in Gemma 4",
                found: text.isEmpty ? "none" : String(text.prefix(120)))
        }
    }

    private mutating func readModel(_ start: JSONReader) throws(TokenizerError) {
        var reader = start
        var vocabulary: (start: JSONReader, count: Int)?, merges: (start: JSONReader, count: Int)?
        var type = "", hasByteFallback = false
        try reader.readObject { key, reader throws(TokenizerError) in
            switch key {
            case "type": type = try reader.readString()
            case "byte_fallback": hasByteFallback = try reader.readBool()
            case "vocab":
                let start = reader
                vocabulary = (start, try reader.skipValue())
            case "merges":
                let start = reader
                merges = (start, try reader.skipValue())
            default: try reader.skipValue()
            }
        }
        guard type.isEmpty || type == "BPE", hasByteFallback else {
            throw TokenizerError(
                .unsupported, file: path, place: "model", expected: "BPE with byte_fallback, as in Gemma 4",
                found: type == "BPE" ? "BPE without byte_fallback" : type)
        }
        guard let vocabulary, let merges else {
            throw TokenizerError(
                .malformed, file: path, place: "model", expected: "vocab and merges", found: vocabulary == nil ? "no vocab" : "no merges")
        }
        try readVocabulary(vocabulary.start, count: vocabulary.count)
        try readMerges(merges.start, count: merges.count)
    }

    private mutating func readVocabulary(_ start: JSONReader, count: Int) throws(TokenizerError) {
        var vocabulary = Vocabulary(expecting: count + addedTokens.count)
        var reader = start
        let path = path
        try reader.readObjectBytes { key, reader throws(TokenizerError) in
            let id = try reader.readInteger()
            guard id >= 0, id < Self.idLimit else {
                throw TokenizerError(
                    .invalidVocabulary, file: path, place: "model.vocab", expected: "an id from 0 to \(Self.idLimit - 1)", found: "\(id)")
            }
            switch vocabulary.insert(key, id: id) {
            case .added: break
            case .duplicateId:
                throw TokenizerError(.invalidVocabulary, file: path, place: "model.vocab", expected: "each id once", found: "\(id) twice")
            case .duplicatePiece:
                throw TokenizerError(
                    .invalidVocabulary, file: path, place: "model.vocab", expected: "each piece once",
                    found: "\"\(String(decoding: key, as: UTF8.self))\" twice")
            }
        }
        // Added tokens may be missing in `vocab`; their ids then follow it.
        for token in addedTokens where vocabulary.id(token.text.utf8) != token.id {
            guard vocabulary.insert(token.text.utf8, id: token.id) == .added else {
                throw TokenizerError(
                    .invalidVocabulary, file: path, place: "added_tokens", expected: "\"\(token.text)\" under the id it has in model.vocab",
                    found: "\(token.id)")
            }
        }
        self.vocabulary = vocabulary
    }

    /// Either form: `["a", "b"]`, or `"a b"` cut at the first space that has something before it.
    private mutating func readMerges(_ start: JSONReader, count: Int) throws(TokenizerError) {
        var encoding = BytePairEncoding(expecting: count)
        var reader = start
        var rank: Int32 = 0
        let (path, vocabulary) = (path, vocabulary)
        try reader.readArray { reader throws(TokenizerError) in
            let place = "model.merges[\(rank)]"
            var sides: [ArraySlice<UInt8>] = []
            if reader.peek() == UInt8(ascii: "[") {
                try reader.readArray { reader throws(TokenizerError) in sides.append(try reader.readStringBytes()) }
            } else {
                let pair = try reader.readStringBytes()
                if let cut = pair.dropFirst().firstIndex(of: 0x20) { sides = [pair[..<cut], pair[(cut + 1)...]] }
            }
            guard sides.count == 2 else {
                throw TokenizerError(.malformed, file: path, place: place, expected: "two pieces", found: "\(sides.count)")
            }
            guard let left = vocabulary.id(sides[0]), let right = vocabulary.id(sides[1]), let result = vocabulary.id(joining: sides[0], sides[1]) else {
                throw TokenizerError(
                    .invalidMerge, file: path, place: place, expected: "two pieces whose join is a piece",
                    found: sides.map { "\"\(String(decoding: $0, as: UTF8.self))\"" }.joined(separator: " and "))
            }
            encoding.insert(left, right, .init(rank: rank, result: Int32(result)))
            rank += 1
        }
        self.encoding = encoding
    }

    private mutating func readAddedTokens(_ start: JSONReader) throws(TokenizerError) {
        var reader = start
        var tokens = addedTokens
        let path = path
        try reader.readArray { reader throws(TokenizerError) in
            var text: String?, id: Int?, isSpecial = false
            try reader.readObject { key, reader throws(TokenizerError) in
                switch key {
                case "content": text = try reader.readString()
                case "id": id = try reader.readInteger()
                case "special": isSpecial = try reader.readBool()
                default: try reader.skipValue()
                }
            }
            guard let text, let id, id >= 0, id < Self.idLimit else {
                throw TokenizerError(
                    .malformed, file: path, place: "added_tokens[\(tokens.count)]", expected: "content and an id from 0 to \(Self.idLimit - 1)",
                    found: "content \(text.map { "\"\($0)\"" } ?? "none"), id \(id.map(String.init) ?? "none")")
            }
            tokens.append((text, id, isSpecial))
        }
        addedTokens = tokens
    }
}
