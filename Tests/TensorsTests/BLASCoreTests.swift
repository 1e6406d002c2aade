import CKernels
import Foundation
import TestSupport
import Testing

@testable import Tensors

@Suite struct BLASCoreTests {
    static let avx2 = UInt32(CPU_AVX2), avx512 = avx2 | UInt32(CPU_AVX512), bf16 = avx512 | UInt32(CPU_AVX512_BF16)

    @Test(
        arguments: [
            ("Prescott", bf16, "Cooperlake"), ("Prescott", avx512, "SkylakeX"), ("Haswell", avx512, "SkylakeX"),
            ("SkylakeX", bf16, nil), ("SapphireRapids", bf16, nil), ("Prescott", avx2, "Haswell"),
            ("Sandybridge", avx2, "Haswell"),
            ("Zen", avx2, nil), ("Haswell", avx2, nil), ("Prescott", 0, nil), ("ARMV8", UInt32(CPU_NEON), nil),
        ] as [(String, UInt32, String?)])
    func wantsTheCoreThatSuitsTheCPU(found: String, features: UInt32, wanted: String?) {
        #expect(BLASCore.better(than: found, features: features) == wanted)
    }

    /// In a child process, because no product may run meanwhile: OpenBLAS is set to its oldest core, its choice for an
    /// unknown CPU, and the first access corrects it. Products are equal up to rounding.
    @Test(.enabled(if: cpu_features() & avx2 != 0 && getenv("OPENBLAS_CORETYPE") == nil))
    func mendsAnOldCore() async {
        await #expect(processExitsWith: .success) {
            var numbers = SeededNumbers(seed: 5)
            let (tokens, rows, columns) = (33, 65, 129)
            let x = numbers.floats(tokens * columns)
            let weight = numbers.floats(rows * columns)
            @Sendable func product() -> [Float] {
                var out = [Float](repeating: 0, count: tokens * rows)
                BLAS.product(
                    &out, outStride: rows, weight, weightStride: columns, x, xStride: columns, tokens: tokens,
                    rows: rows,
                    columns: columns)
                return out
            }
            #expect(BLASCore.load("Prescott"))
            try #require(BLASCore.loadedName == "Prescott")
            let before = product()
            let core = BLASCore.current
            #expect(core.origin == .mended(previous: "Prescott"))
            #expect(core.name == BLASCore.loadedName && core.name != "Prescott")
            #expect(getenv("OPENBLAS_CORETYPE") == nil)
            // Two sums of 129 products of magnitude at most 1, in different order.
            expectClose(product(), before, absolute: 2 * 129 * 129 / 4 * 0x1p-24)
            // Several threads at once, each with buffers of OpenBLAS's own.
            try BLAS.prepare(callers: 4)
            let expected = product()
            ThreadPool(count: 4).parallelFor(100) { _ in #expect(product() == expected) }
        }
    }

    /// Each caller's buffer is mapped and its first 4 MiB resident before any product, and once.
    @Test(.enabled(if: FileManager.default.fileExists(atPath: "/proc/self/statm")))
    func touchesABufferOfEachCaller() async {
        await #expect(processExitsWith: .success) {
            func mebibytes() throws -> (mapped: Int, resident: Int) {
                let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
                return (Int(fields[0])! >> 8, Int(fields[1])! >> 8)
            }
            let start = try mebibytes()
            try BLAS.prepare(callers: 3)
            let three = try mebibytes()
            // OpenBLAS may already have had the buffer of one caller, or of its own thread.
            #expect((11..<16).contains(three.resident - start.resident) && three.mapped - start.mapped >= 256)
            try BLAS.prepare(callers: 2)
            #expect(try mebibytes().resident - three.resident <= 1)
            try BLAS.prepare(callers: 5)
            let five = try mebibytes()
            #expect((7..<12).contains(five.resident - three.resident) && five.mapped - three.mapped >= 256)
        }
    }

    /// OpenBLAS's allocator would try for ever.
    @Test func namesMissingAddressSpace() async {
        await #expect(processExitsWith: .success) {
            _ = BLASCore.current
            // Threads reserve address space, so they are started first.
            let device = Device(threadCount: 4)
            device.threads.parallelFor(100) { _ in }
            let pages = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")[0]
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
            limit.rlim_cur = rlim_t(Int(pages)! * 4096 + 3 * BLAS.bufferBytes)
            setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
            let error = #expect(throws: BLASMemoryError.self) { try BLAS.prepare(callers: 4) }
            #expect(
                error?.description.contains("needs 512 MiB of address space for 4 threads, 128 MiB each") == true)
            #expect(throws: BLASMemoryError.self) { try MachineLimits(measuring: device) }
            try BLAS.prepare(callers: 1)
        }
    }

    @Test func saysHowItWasChosen() {
        #expect(BLASCore(name: "Zen", origin: .detected).description == "Zen")
        #expect(BLASCore(name: "Zen", origin: .environment).description == "Zen (OPENBLAS_CORETYPE)")
        #expect(
            BLASCore(name: "Prescott", origin: .unsuited(wanted: "Haswell")).description.contains(
                "OPENBLAS_CORETYPE=Haswell"))
        #expect(BLASCore(name: "Haswell", origin: .mended(previous: "Prescott")).description.contains("Prescott"))
    }
}
