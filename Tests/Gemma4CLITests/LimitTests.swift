import Foundation
import TestSupport
import Testing

/// Decompression bombs, and files that announce far more than they hold. Each is refused or read partially, within the
/// address space that a toy model needs.
@Suite struct LimitTests {
    /// For the program and a toy model, in KiB; the largest allocation that a file here requests is a hundred times as
    /// large.
    private static let addressSpace = 1_500_000

    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// `FILE` is replaced by the file's path.
        let command: String
        let status: Int32
        let message: String
        let bytes: @Sendable () -> [UInt8]

        init(
            _ name: String, _ command: String, status: Int32 = 65, _ message: String,
            _ bytes: @escaping @Sendable () -> [UInt8]
        ) {
            (testDescription, self.command, self.status) = (name, command, status)
            (self.message, self.bytes) = (message, bytes)
        }
    }

    private static let messages = "generate --model \(Goldens.checkpoint("E2B")) --messages FILE"
    private static let caption = "caption --model \(Goldens.checkpoint("E2B")) --max-tokens 1 FILE"

    private static func little(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian, Array.init)
    }

    private static func gguf(tensors: UInt64, keys: UInt64, _ rest: [UInt8] = []) -> [UInt8] {
        Array("GGUF".utf8) + little(3 as UInt32) + little(tensors) + little(keys) + rest
    }

    /// 100 MB of zeros as a text of a PNG; its pixels are those of a golden.
    private static func pngBomb() throws -> [UInt8] {
        let png = [UInt8](try Data(contentsOf: MediaGoldens.folder.appending(path: "pictures/grey4.png")))
        // The deflated zeros: the code of the longest match, one bit each.
        let deflated: [UInt8] =
            [0x78, 0xDA, 0xED, 0xC1, 0x01, 0x01, 0, 0, 0, 0x82, 0x20, 0xFF, 0xAF, 0x6E, 0x48, 0x40, 0x01]
            + [UInt8](repeating: 0, count: 97_000)
        let body = Array("zTXt".utf8) + Array("XML:com.adobe.xmp".utf8) + [0, 0] + deflated
        func big(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian, Array.init) }
        return png[..<33] + big(UInt32(body.count - 4)) + body + big(MediaGoldens.crc32(body)) + png[33...]
    }

    private static let cases = [
        Case("10 MB of brackets", messages, "line 1, column 65: expected at most 64 levels of nesting") {
            [UInt8](repeating: UInt8(ascii: "["), count: 10 << 20)
        },
        Case("10 MB of empty lists", messages, "expected at most 1048576 values, found more") {
            Array(("[" + String(repeating: "[],", count: 3_500_000) + "1]").utf8)
        },
        Case("10 MB of objects", messages, "expected at most 1048576 values, found more") {
            Array(("[" + String(repeating: #"{"":0},"#, count: 1_500_000) + "1]").utf8)
        },
        Case(
            "a schema of 10 MB of brackets", "generate --model \(Goldens.checkpoint("E2B")) a --schema FILE",
            "expected at most 64 levels of nesting"
        ) { Array(String(repeating: #"{"not":"#, count: 1_500_000).utf8) },
        Case("2^60 tensors", "inspect FILE", "tensor count: expected a count for which there is room") {
            gguf(tensors: 1 << 60, keys: 0)
        },
        Case("2^60 keys", "inspect FILE", "metadata count: expected a count for which there is room") {
            gguf(tensors: 0, keys: 1 << 60)
        },
        Case(
            "a key of 2^63 bytes", "inspect FILE", "metadata key 0: expected 9223372036854775808 bytes of text"
        ) { gguf(tensors: 0, keys: 1, little(UInt64(1) << 63) + [UInt8](repeating: 0, count: 64)) },
        Case("a list of 2^62 texts", "inspect FILE", "k: expected a count for which there is room") {
            gguf(
                tensors: 0, keys: 1,
                little(UInt64(1)) + Array("k".utf8) + little(UInt32(9)) + little(UInt32(8)) + little(UInt64(1) << 62))
        },
        Case("a picture's text of 100 MB", caption, status: 0, "") { (try? pngBomb()) ?? [] },
        Case(
            "a WAV that promises 4 GiB", "transcribe --model Models/Demo FILE",
            "found 2.00 of 125829.12 s of sound; copy or download it again"
        ) {
            let format = little(1 as UInt16) + little(1 as UInt16) + little(16_000 as UInt32) + little(32_000 as UInt32)
            return Array("RIFF".utf8) + little(0xF000_0024 as UInt32) + Array("WAVEfmt ".utf8) + little(16 as UInt32)
                + format
                + little(2 as UInt16) + little(16 as UInt16) + Array("data".utf8) + little(0xF000_0000 as UInt32)
                + [UInt8](repeating: 0, count: 64_000)
        },
    ]

    @Test(arguments: cases)
    func isRefusedInLittleMemory(limit: Case) async throws {
        let directory = try TemporaryDirectory()
        let bytes = limit.bytes()
        #expect(!bytes.isEmpty)
        let file = try directory.write(bytes, to: "file")
        let command = limit.command.replacing("FILE", with: file).replacing("Models/Demo", with: DemoTests.folder.path)
        var program = Program(
            "-c", "ulimit -v \(Self.addressSpace); exec timeout 60 '\(Program.executable.path)' \(command)")
        program.executable = URL(filePath: "/bin/sh")
        let outcome = try await program.run()
        #expect(outcome.status == limit.status && !outcome.wasKilled, "\(outcome.messages)")
        #expect(limit.message.isEmpty || outcome.messages.contains(limit.message), "\(outcome.messages)")
    }
}
