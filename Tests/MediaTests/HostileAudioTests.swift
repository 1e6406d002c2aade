import Foundation
import Media
import Synchronization
import TestSupport
import Testing

/// Malformed recordings: each gives a clear error, without a crash or excessive memory.
@Suite struct HostileAudioTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let bytes: Data
        let code: MediaError.Code
        /// Expected part of the message; of libsndfile's messages, which vary, only a part.
        let says: String

        init(_ name: String, _ bytes: some Sequence<UInt8>, _ code: MediaError.Code, _ says: String) {
            (testDescription, self.bytes, self.code, self.says) = (name, Data(bytes), code, says)
        }
    }

    static let silence = [UInt8](repeating: 0, count: 4_000)
    static let limits = "expected 1 to 64 channels at 1000 to 768000 Hz, found"
    static let formats = "expected WAV, FLAC, OGG (Vorbis, Opus), MP3 or AIFF, found"

    static let cases = [
        Case("empty", [], .empty, "found no bytes; check that it was written or downloaded"),
        Case("no sample", wavFile([]), .empty, "found a header without a sample"),
        Case("half a sample", wavFile([1]), .empty, "found a header without a sample"),
        Case("text", Data("This is a sentence, not a recording.".utf8), .unsupported, "\(formats) something else"),
        Case("magic alone", Data("RIFF".utf8), .unsupported, "\(formats) something else"),
        Case("PNG", [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A], .unsupported, "\(formats) PNG"),
        Case("JPEG", [0xFF, 0xD8, 0xFF, 0xE0], .unsupported, "\(formats) JPEG"),
        Case(
            "M4A", Data("\0\0\0 ftypM4A \0\0\0\0".utf8), .unsupported,
            "\(formats) M4A (AAC); if it has sound, convert"),
        Case("MP4", Data("\0\0\0 ftypisom\0\0\0\0".utf8), .unsupported, "\(formats) MP4; if it has sound, convert"),
        Case("WebM", [0x1A, 0x45, 0xDF, 0xA3], .unsupported, "\(formats) Matroska or WebM"),
        Case("header cut in fmt", wavFile(silence).prefix(20), .malformed, "expected a whole recording, found"),
        Case("header cut before data", wavFile(silence).prefix(40), .malformed, "No 'data' chunk"),
        Case(
            "WAV cut in sound", wavFile(silence).prefix(1_044), .truncated,
            "expected a whole recording, found 0.03 of 0.12 s of sound; copy or download it again"),
        Case(
            "AIFF cut in sound", golden("pcm16-11025.aiff").dropLast(100), .truncated,
            "found 0.20 of 0.21 s of sound; copy"),
        Case("no channel", wavFile(silence, channels: 0), .malformed, "Channel count is zero"),
        Case("1000 channels", wavFile(silence, channels: 1_000), .tooLarge, "\(limits) 1000 channels at 16000 Hz"),
        Case("65535 channels", wavFile(silence, channels: 65_535), .malformed, "Too many channels"),
        Case("0 Hz", wavFile(silence, rate: 0), .malformed, "expected a whole recording, found"),
        Case(
            "1 Hz", wavFile(silence, rate: 1), .tooLarge, "\(limits) 1 channels at 1 Hz; unless the header is damaged"),
        Case("2 GHz", wavFile(silence, rate: 2_000_000_000), .tooLarge, "\(limits) 1 channels at 2000000000 Hz"),
        Case("4 GHz", wavFile(silence, rate: 4_000_000_000), .malformed, "expected a whole recording, found"),
        Case("no bits", wavFile(silence, bits: 0), .malformed, "unimplemented format"),
        Case("7777 bits", wavFile(silence, bits: 7_777), .malformed, "unimplemented format"),
        Case("unknown codec", wavFile(silence, format: 0xFF), .malformed, "expected a whole recording, found"),
        Case("not a number", floats(0.5, .nan), .malformed, "expected finite samples, found nan at 0.00 s"),
        Case("infinite", floats(0.5, .infinity), .malformed, "expected finite samples, found inf at 0.00 s"),
        Case(
            "FLAC cut in sound", golden("44100-stereo.flac").prefix(3_000), .truncated,
            "found 0.00 of 0.21 s of sound; copy or download"),
        Case(
            "FLAC cut in header", golden("44100-stereo.flac").prefix(30), .malformed,
            "expected a whole recording, found"),
        Case("MP3 cut in its first frame", golden("44100-stereo.mp3").prefix(100), .malformed, "found an MPEG header"),
        Case(
            "OGG cut in header", golden("vorbis-44100-stereo.ogg").prefix(100), .malformed,
            "found Supported file format"),
    ]

    private static func floats(_ values: Float...) -> Data {
        wavFile(values.flatMap { little($0.bitPattern) }, format: 3, bits: 32)
    }

    private static func golden(_ name: String) -> Data {
        (try? Data(contentsOf: MediaGoldens.folder.appending(path: "recordings/\(name)"))) ?? Data()
    }

    @Test(arguments: cases)
    func isRefused(bad: Case) throws {
        let error = try #require(throws: MediaError.self) {
            var reader = try AudioReader(bad.bytes, name: "bad.wav")
            _ = try reader.readAll()
        }
        #expect(error.code == bad.code)
        #expect(error.description.hasPrefix("bad.wav: expected ") && error.description.hasSuffix("."))
        #expect(error.description.contains(bad.says), "\(error)")
    }

    /// libsndfile keeps what went wrong in opening for all threads together.
    @Test func threadsOpenAtOnce() {
        let (good, bad) = (wavFile(Self.silence), wavFile(Self.silence, bits: 0))
        let outcomes = Mutex<[String: Int]>([:])
        DispatchQueue.concurrentPerform(iterations: 60_000) { index in
            var outcome = "opened"
            do {
                _ = try AudioReader(index.isMultiple(of: 2) ? good : bad)
            } catch {
                outcome = "\(error)".contains("unimplemented format") ? "refused" : "\(error)"
            }
            outcomes.withLock { $0[outcome, default: 0] += 1 }
        }
        #expect(outcomes.withLock { $0 } == ["opened": 30_000, "refused": 30_000])
    }

    @Test func missingFilesAreNamed() throws {
        let missing = MediaGoldens.folder.appending(path: "recordings/missing.wav")
        let error = try #require(throws: MediaError.self) { _ = try AudioReader(missing) }
        #expect(error.code == .unreadable)
        #expect(
            error.description
                == "\(missing.path): expected a readable file, found no such file; check the path and its permissions.")
        let folder = try #require(throws: MediaError.self) { _ = try AudioReader(MediaGoldens.folder) }
        #expect(folder.found == "a directory")
    }

    @Test func longRecordingsAreNotTakenWhole() throws {
        var reader = try AudioReader(wavFile([UInt8](repeating: 0, count: 2 * 48_000)))
        let error = try #require(throws: MediaError.self) { _ = try reader.readAll(maxDurationInSeconds: 2) }
        #expect(
            error.description
                == "recording: expected at most 2 s of sound, found more; split the recording into shorter files.")
    }

    @Test(arguments: [
        (0, 16_000, 1, MediaError.Code.empty), (3, 16_000, 2, .malformed), (4, 16_000, 0, .malformed),
        (4, 1, 1, .malformed),
    ])
    func badSamplesAreRefused(count: Int, rate: Int, channels: Int, code: MediaError.Code) throws {
        let error = try #require(throws: MediaError.self) {
            try AudioReader.convert(
                interleaved: [Float](repeating: 0, count: count), sampleRate: rate, channels: channels)
        }
        #expect(error.code == code)
        #expect(error.found == "\(count) samples of \(channels) channels at \(rate) Hz")
    }
}
