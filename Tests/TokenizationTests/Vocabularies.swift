import Foundation

@testable import Tokenization

/// The two vocabularies of `Tests/Goldens/tokenizer`, each loaded once, and the encodings of Hugging Face `tokenizers`.
enum Vocabularies: String, CaseIterable, Sendable {
    /// As published: 262,144 pieces; merges as pairs.
    case gemma4
    /// 640 pieces, few scalars, special tokens under other ids; merges as "a b", some of them across newlines.
    case tiny

    static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(
        path: "../Goldens/tokenizer")

    private static let opened: [Vocabularies: Result<Tokenizer, any Error>] = [
        .gemma4: Result {
            let json = try unzip(directory.appending(path: "gemma4.json.gz"))
            return try Tokenizer(TokenizerFile(json, path: "gemma4.json"))
        },
        .tiny: Result { try Tokenizer(contentsOf: directory.appending(path: "tiny.json").path) },
    ]

    var tokenizer: Tokenizer {
        get throws { try Self.opened[self]!.get() }
    }

    var corpus: Corpus {
        get throws {
            try JSONDecoder().decode(
                Corpus.self, from: Self.unzip(Self.directory.appending(path: "\(rawValue)-corpus.json.gz")))
        }
    }

    struct Corpus: Decodable {
        struct Encoding: Decodable {
            let text: String
            /// With special tokens parsed.
            let ids: [Int]
            /// With special tokens as plain text; nil if equal.
            let plain: [Int]?
            /// The text of `ids`; nil if equal to `text`.
            let decoded: String?
        }
        struct Decoding: Decodable {
            let ids: [Int]
            /// Without special tokens.
            let text: String
            /// With their text.
            let all: String
        }
        let encode: [Encoding]
        let decode: [Decoding]
    }

    /// Decompresses a file with `gzip`.
    static func unzip(_ file: URL) throws -> Data {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["gzip", "-dc", file.path]
        process.standardOutput = output
        try process.run()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return data
    }
}
