import TestSupport
import Testing

@testable import Weights

struct SafetensorsHeaderTests {
    private func read(_ bytes: [UInt8]) throws -> SafetensorsHeader {
        try bytes.withUnsafeBytes { try SafetensorsHeader($0, path: "w") }
    }

    private static let again = "Download the file again."
    private static let noFile = "The file is no safetensors file, or was cut or changed. Download the file again."

    @Test func readsTypesShapesAndPlaces() throws {
        let header = """
            {"__metadata__": {"format": "pt"},
             "a": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]},
             "c": {"dtype": "F16", "shape": [], "data_offsets": [16, 18]},
             "b": {"dtype": "F32", "shape": [1], "data_offsets": [12, 16]},
             "empty": {"dtype": "F32", "shape": [0, 5], "data_offsets": [12, 12]}}

            """
        let file = safetensorsFile(header: header, data: [UInt8](repeating: 0, count: 18))
        let start = 8 + header.utf8.count
        let entries = try read(file).entries
        #expect(entries["a"] == .init(dtype: "BF16", elementType: .bfloat16, shape: [2, 3], range: start..<start + 12))
        #expect(entries["b"] == .init(dtype: "F32", elementType: .float32, shape: [1], range: start + 12..<start + 16))
        #expect(entries["c"] == .init(dtype: "F16", elementType: .float16, shape: [], range: start + 16..<start + 18))
        #expect(
            entries["empty"]
                == .init(dtype: "F32", elementType: .float32, shape: [0, 5], range: start + 12..<start + 12))
        #expect(entries.count == 4)
    }

    @Test(
        arguments: [
            (UInt64.max, "w: expected a header of at most 100000000 bytes, found 18446744073709551615. \(noFile)"),
            (100_000_001, "w: expected a header of at most 100000000 bytes, found 100000001. \(noFile)"),
            (3, "w: expected a header of 3 bytes, found 2 bytes after its length. \(noFile)"),
            (1, "w, header, line 1, column 2: expected a key in quotes, found the end of the text. \(noFile)"),
        ] as [(UInt64, String)])
    func refusesLyingLengths(length: UInt64, expected: String) {
        #expect(message { try read(safetensorsFile(header: "{}", statedLength: length)) } == expected)
    }

    @Test func refusesShortAndForeignFiles() {
        #expect(message { try read([1, 2, 3]) } == "w: expected at least 8 bytes, found 3. \(Self.noFile)")
        #expect(
            message { try read(Array("version https://git-lfs.github.com/spec/v1\noid sha256:0".utf8)) }
                == "w: expected the weights, found a Git LFS pointer to them. Run git lfs pull in that directory.")
        #expect(
            message { try read(safetensorsFile(header: "[1]")) }
                == "w, header: expected an object, found an array of 1. \(Self.noFile)")
    }

    /// One tensor "a", with 12 bytes of data.
    @Test(
        arguments: [
            ("1", "expected an object with dtype, shape and data_offsets, found 1. \(again)"),
            (
                #"{"dtype": "BF16", "shape": [6]}"#,
                "expected an object with dtype, shape and data_offsets, found an object. \(again)"
            ),
            (
                #"{"dtype": "U32", "shape": [3], "data_offsets": [0, 12]}"#,
                "expected dtype BF16, F16 or F32, found \"U32\". This program runs the published, unquantised weights."
            ),
            (
                #"{"dtype": "BF16", "shape": [-6], "data_offsets": [0, 12]}"#,
                "expected a shape of integers >= 0, found -6. \(again)"
            ),
            (
                #"{"dtype": "BF16", "shape": [6.5], "data_offsets": [0, 12]}"#,
                "expected a shape of integers >= 0, found 6.5. \(again)"
            ),
            (
                #"{"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 12]}"#,
                #"expected a shape that fits into memory, found ["4611686018427387904", "4"]. \#(again)"#
            ),
            (
                #"{"dtype": "BF16", "shape": [6], "data_offsets": [0, 14]}"#,
                "expected data up to byte 14, found 12 bytes of data: the file is cut short. \(again)"
            ),
            (
                #"{"dtype": "BF16", "shape": [5], "data_offsets": [0, 12]}"#,
                "expected 10 bytes for BF16 [5], found 12. \(again)"
            ),
            (
                #"{"dtype": "BF16", "shape": [6], "data_offsets": [12, 0]}"#,
                #"expected data_offsets [begin, end] with 0 <= begin <= end, found ["12", "0"]. \#(again)"#
            ),
            (
                #"{"dtype": "BF16", "shape": [6], "data_offsets": [-12, 0]}"#,
                #"expected data_offsets [begin, end] with 0 <= begin <= end, found ["-12", "0"]. \#(again)"#
            ),
            (
                #"{"dtype": "BF16", "shape": [5], "data_offsets": [2, 12]}"#,
                "expected data from byte 0 on, where the tensor before it ends, found 2. \(again)"
            ),
            (
                #"{"dtype": "BF16", "shape": [6], "data_offsets": [0, 12]}, "b": {"dtype": "BF16", "shape": [1], "data_offsets": [10, 12]}"#,
                "b: expected data from byte 12 on, where the tensor before it ends, found 10. \(again)"
            ),
        ] as [(String, String)])
    func refusesFalseEntries(entry: String, expected: String) {
        let file = safetensorsFile(header: "{\"a\": \(entry)}", data: [UInt8](repeating: 0, count: 12))
        #expect(message { try read(file) } == (expected.hasPrefix("b: ") ? "w, \(expected)" : "w, a: \(expected)"))
    }

    @Test func refusesDataOfNoTensorAndNamesTwice() {
        let entry = #"{"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}"#
        #expect(
            message { try read(safetensorsFile(header: "{\"a\": \(entry)}", data: [UInt8](repeating: 0, count: 12))) }
                == "w: expected 10 bytes of data, found 12: some belong to no tensor. \(Self.noFile)")
        #expect(
            message {
                try read(
                    safetensorsFile(
                        header: "{\"a\": \(entry), \"a\": \(entry)}", data: [UInt8](repeating: 0, count: 10)))
            }
                == "w, header, line 1, column 65: expected every key once, found \"a\" again. \(Self.noFile)")
    }

    /// Random changes, from a fixed generator, give an error or a header whose entries all lie within the file: never a
    /// trap.
    @Test func survivesChangedBytes() throws {
        let original = safetensorsFile(zeros: [("a", [2, 3]), ("layers.0.b", [4]), ("c", [])])
        let interesting = Array("0123456789-.eE\"{}[]:,\\u ".utf8) + [0, 0x7F, 0xFF]
        var random = SeededGenerator(seed: 4)
        var refused = 0
        for _ in 0..<20_000 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes.remove(at: place)
                case 1: bytes.insert(interesting.randomElement(using: &random) ?? 0, at: place)
                case 2: bytes.removeSubrange(place...)
                default: bytes[place] = interesting.randomElement(using: &random) ?? 0
                }
                if bytes.isEmpty { break }
            }
            do {
                for entry in try read(bytes).entries.values {
                    #expect(entry.range.lowerBound >= 8 && entry.range.upperBound <= bytes.count)
                    guard let type = entry.elementType else { continue }  // integers, which mutations make of it
                    #expect(entry.range.count == type.byteCount(entry.shape.reduce(1, *)))
                }
            } catch is CheckpointError {
                refused += 1
            }
        }
        #expect(refused > 10_000 && refused < 20_000)  // both ways are taken
    }
}

/// The same sequence on every machine: a linear congruential generator (Knuth, MMIX), upper half of the state.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        func half() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 32
        }
        return half() << 32 | half()
    }
}
