import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JSONText
import TestSupport
import Testing

@testable import Gemma4Kit
@testable import Gemma4Server
@testable import Generation

private let path = "/v1/audio/transcriptions"
private let boundary = "----gemma4-boundary"

private func form(_ fields: [(String, String)], file: Data?, named fileName: String = "talk.wav") -> ByteBuffer {
    var bytes = Data()
    for (name, value) in fields {
        bytes += Data("--\(boundary)\r\nContent-Disposition: form-data; name=\"\(name)\"\r\n\r\n\(value)\r\n".utf8)
    }
    if let file {
        let disposition = "Content-Disposition: form-data; name=\"file\"; filename=\"\(fileName)\""
        bytes +=
            Data("--\(boundary)\r\n\(disposition)\r\nContent-Type: audio/wav\r\n\r\n".utf8) + file + Data("\r\n".utf8)
    }
    return ByteBuffer(bytes: bytes + Data("--\(boundary)--\r\n".utf8))
}

extension Served {
    fileprivate func send(
        _ fields: [(String, String)], file: Data?, named fileName: String = "talk.wav", to uri: String = path
    ) async throws -> TestResponse {
        try await test { client in
            try await client.execute(
                uri: uri, method: .post, headers: [.contentType: "multipart/form-data; boundary=\(boundary)"],
                body: form(fields, file: file, named: fileName))
        }
    }
}

/// Two utterances separated by a pause, together longer than one piece.
private func talk() throws -> (data: Data, url: URL, directory: TemporaryDirectory) {
    let directory = try TemporaryDirectory()
    let samples = Sounds.speech(seconds: 16) + [Float](repeating: 0, count: 40_000) + Sounds.speech(seconds: 16)
    let path = try directory.write(Sounds.wave(samples), to: "talk.wav")
    return (try Data(contentsOf: URL(filePath: path)), URL(filePath: path), directory)
}

/// The text in each form is that of the library.
@Test func transcriptsComeInEveryForm() async throws {
    let served = try Served()
    let (data, url, directory) = try talk()
    defer { withExtendedLifetime(directory) {} }
    let transcript = try await served.pipeline.transcribe(.file(url)).transcript()
    #expect(!transcript.text.isEmpty)
    let context = TranscriptContext(.init())
    for (format, expected, type) in [
        ("text", transcript.text + "\n", "text/plain; charset=utf-8"),
        ("srt", TranscriptWriter.whole(transcript, .srt, context), "application/x-subrip; charset=utf-8"),
        ("vtt", TranscriptWriter.whole(transcript, .vtt, context), "text/vtt; charset=utf-8"),
    ] {
        let response = try await served.send([("response_format", format), ("model", "whisper-1")], file: data)
        #expect(response.status == .ok && response.text == expected)
        #expect(response.headers[.contentType] == type)
    }
    let plain = try await served.send([], file: data).json
    #expect(plain["text"] == .string(transcript.text) && plain["usage"]?["type"] == "duration")
    let verbose = try await served.send(
        [("response_format", "verbose_json"), ("timestamp_granularities[]", "segment"), ("language", "en")], file: data
    ).json
    #expect(verbose["task"] == "transcribe" && verbose["language"] == "english")
    let segments = verbose["segments"]?.values ?? []
    #expect(segments.count == transcript.segments.count && segments.count >= 2)
    for (segment, expected) in zip(segments, transcript.segments) {
        #expect(abs(segment["start"]!.double! - expected.start) < 1e-3)
        #expect(
            segment["seek"] == .integer(Int(segment["start"]!.double! * 100)) && segment["temperature"]?.double == 0)
    }
    let translated = try await served.send(
        [("response_format", "verbose_json")], file: data, to: "/v1/audio/translations")
    #expect(try translated.json["task"] == "translate")
    #expect(try translated.json["language"] == "english")
}

@Test func aTranscriptStreamAddsUp() async throws {
    let served = try Served()
    let (data, _, directory) = try talk()
    defer { withExtendedLifetime(directory) {} }
    let whole = try await served.send([], file: data).json
    let response = try await served.send([("stream", "true"), ("response_format", "verbose_json")], file: data)
    #expect(response.headers[.contentType] == "text/event-stream")
    let chunks = try response.chunks
    let deltas = chunks.filter { $0["type"] == "transcript.text.delta" }.map { $0["delta"]!.string! }
    #expect(deltas.count >= 2 && .string(deltas.joined()) == whole["text"])
    #expect(chunks.filter { $0["type"] == "transcript.text.segment" }.count >= 2)
    #expect(chunks.last?["type"] == "transcript.text.done" && chunks.last?["text"] == whole["text"])
    #expect(response.events.dropLast().map(\.name) == chunks.map { $0["type"]?.string })
    let plain = try await served.send([("stream", "true")], file: data).chunks
    #expect(!plain.contains { $0["type"] == "transcript.text.segment" })
}

@Test(arguments: [
    ([("response_format", "diarized_json")], "response_format"), ([("language", "klingon!")], "language"),
    ([("timestamp_granularities[]", "word")], "timestamp_granularities"), ([("temperature", "7")], "temperature"),
    ([("include[]", "logprobs")], "include"), ([("stream", "true"), ("response_format", "srt")], "response_format"),
    ([("chunking_strategy", "{\"type\": \"server_vad\"}")], "chunking_strategy"),
])
func formsThatCannotBeHonouredAreRefusedByName(fields: [(String, String)], name: String) async throws {
    let response = try await Served().send(fields, file: Data("RIFF".utf8))
    #expect(response.status == .badRequest)
    #expect(try response.json["error"]?["param"] == .string(name))
    #expect(try response.json["error"]!["message"]!.string!.hasPrefix(name))
}

/// Errors name the client's file name, and the uploaded file is deleted.
@Test func brokenRecordingsAreTheClientsFault() async throws {
    let served = try Served { $0.recordingSeconds = 5 }
    func temporaries() -> Int {
        let files =
            (try? FileManager.default.contentsOfDirectory(atPath: FileManager.default.temporaryDirectory.path)) ?? []
        return files.count { $0.hasPrefix("gemma4-") && $0.hasSuffix(".gemmatest") }
    }
    let before = temporaries()
    for stream in ["false", "true"] {
        let response = try await served.send(
            [("stream", stream)], file: Data("no sound".utf8), named: "../../my talk.gemmatest")
        #expect(response.status == .badRequest)
        let message = try #require(try response.json["error"]?["message"]?.string)
        #expect(message.contains("my talk.gemmatest") && !message.contains("/"))
        let (data, _, directory) = try talk()
        defer { withExtendedLifetime(directory) {} }
        let long = try await served.send([("stream", stream)], file: data, named: "a.wav")
        #expect(long.status == .contentTooLarge)
        #expect(try long.json["error"]!["message"]!.string!.contains("at most 5 s"))
    }
    #expect(temporaries() == before)
    #expect(try await served.send([("model", "a")], file: nil).json["error"]?["param"] == "file")
    #expect(served.server.admission.taken == 0)
    let noForm = try await served.post(path, ["a": 1])
    #expect(noForm.status == .unsupportedMediaType)
    let small = try Served { $0.uploadBytes = 300 }
    #expect(try await small.send([], file: Data(count: 1000)).status == .contentTooLarge)
}

/// Parts do not depend on chunk sizes: boundaries are found across chunks.
@Test(arguments: [1, 2, 3, 7, 64, 10_000])
func formsAreReadInPieces(size: Int) throws {
    var content = (0..<500).flatMap { Array("\r\n--\(boundary.dropLast())\($0)\r".utf8) }
    content += [0, 255, 13, 10, 45, 45]
    let bytes = Array(buffer: form([("a", "1"), ("empty", "")], file: Data(content), named: "x \"y\".wav"))
    var parser = MultipartParser(boundary: boundary)
    var parts: [(name: String, fileName: String?, bytes: [UInt8], isEnded: Bool)] = []
    for start in stride(from: 0, to: bytes.count, by: size) {
        try parser.append(Array(bytes[start..<min(bytes.count, start + size)])) { event in
            switch event {
            case .begin(let name, let fileName): parts.append((name, fileName, [], false))
            case .bytes(let bytes): parts[parts.count - 1].bytes += bytes
            case .end: parts[parts.count - 1].isEnded = true
            }
        }
    }
    #expect(parser.isAtEnd && parts.allSatisfy(\.isEnded))
    #expect(parts.map(\.name) == ["a", "empty", "file"])
    #expect(parts[0].bytes == [0x31] && parts[1].bytes.isEmpty && parts[2].bytes == content)
    #expect(parts[0].fileName == nil && parts[2].fileName == "x ")
}
