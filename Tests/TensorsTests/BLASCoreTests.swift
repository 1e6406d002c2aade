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

    /// In a process of its own, since no product may run meanwhile: OpenBLAS is given its oldest core, as it takes one
    /// for a CPU that it does not know, and the first device mends it. Products are equal but for rounding.
    @Test(.enabled(if: cpu_features() & avx2 != 0 && getenv("OPENBLAS_CORETYPE") == nil))
    func mendsAnOldCore() async {
        await #expect(processExitsWith: .success) {
            var numbers = SeededNumbers(seed: 5)
            let (tokens, rows, columns) = (33, 65, 129)
            let x = numbers.floats(tokens * columns)
            let weight = numbers.floats(rows * columns)
            func product() -> [Float] {
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
            let core = Device(threadCount: 1).blasCore
            #expect(core.origin == .mended(previous: "Prescott"))
            #expect(core.name == BLASCore.loadedName && core.name != "Prescott")
            #expect(getenv("OPENBLAS_CORETYPE") == nil)
            // Two sums of 129 products of magnitude at most 1, in different order.
            expectClose(product(), before, absolute: 2 * 129 * 129 / 4 * 0x1p-24)
            // Several threads at once, each with buffers of OpenBLAS's own.
            let products = [1, 4].map { threads in
                let device = Device(threadCount: threads)
                let large = Tensor((0..<700 * 300).map { Float($0 % 13) }, [700, 300], on: device)
                return large.product(large).toArray()
            }
            #expect(products[0] == products[1])
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
