import Foundation
import TestSupport
import Testing

@testable import Gemma4

private struct Resize: Decodable, Sendable {
    let from, to: [Int]
    let seed: Int
    let crc32: UInt32
    let probes: [[Double]]
}

private struct Processed: Decodable, Sendable {
    let size: [Int]
    let budget, seed, softTokens: Int
    let positions, crc32: UInt32
    let probes: [[Double]]
}

private let resizes: [Resize] = (try? MediaGoldens.load("resizes")) ?? []
private let processed: [Processed] = (try? MediaGoldens.load("imageProcessor")) ?? []

@Suite struct ImageProcessorTests {
    @Test func goldensAreThere() {
        #expect(resizes.count == 11 && processed.count == 22)
    }

    /// Every bit as torchvision: sums of integers, no tolerance.
    @Test(arguments: resizes)
    fileprivate func resizeEqualsTorchvision(golden: Resize) {
        let rgb = MediaGoldens.noise(golden.from[0] * golden.from[1] * 3, seed: golden.seed)
        let out = BicubicResize.resize(
            rgb, width: golden.from[0], height: golden.from[1], to: golden.to[0], golden.to[1])
        for probe in golden.probes { #expect(Double(out[Int(probe[0])]) == probe[1], "at \(probe[0])") }
        #expect(MediaGoldens.crc32(out) == golden.crc32)
    }

    /// Every bit as transformers: one multiplication per value, no tolerance.
    @Test(arguments: processed)
    fileprivate func patchesEqualTransformers(golden: Processed) throws {
        let (width, height) = (golden.size[0], golden.size[1])
        let processor = try ImageProcessor(patchSize: 16, poolingKernelSize: 3, maxSoftTokens: golden.budget)
        let patches = try processor(
            width: width, height: height, rgb: MediaGoldens.noise(width * height * 3, seed: golden.seed))
        #expect(patches.softTokenCount == golden.softTokens)
        #expect(try processor.softTokenCount(width: width, height: height) == golden.softTokens)
        #expect(patches.count == 9 * golden.softTokens && patches.values.count == patches.count * 768)
        for probe in golden.probes { #expect(patches.values[Int(probe[0])] == Float(probe[1]), "at \(probe[0])") }
        #expect(patches.values.withUnsafeBytes { MediaGoldens.crc32($0) } == golden.crc32)
        let positions = zip(patches.grid.xs, patches.grid.ys).flatMap { [Int32($0), Int32($1)] }
        #expect(positions.withUnsafeBytes { MediaGoldens.crc32($0) } == golden.positions)
    }

    /// transformers' `get_aspect_ratio_preserving_size`, at the limits of its branches.
    @Test(arguments: [
        (400, 300, 280, 912, 672), (768, 768, 280, 768, 768), (97, 60, 70, 480, 288),
        (1, 100_000, 70, 48, 70 * 48), (100_000, 1, 1120, 1120 * 48, 48), (48, 48, 70, 384, 384),
    ])
    func sizesFillTheBudget(width: Int, height: Int, budget: Int, newWidth: Int, newHeight: Int) throws {
        let processor = try ImageProcessor(patchSize: 16, poolingKernelSize: 3, maxSoftTokens: budget)
        let target = try processor.targetSize(width: width, height: height)
        #expect(target.width == newWidth && target.height == newHeight)
    }

    /// A sweep over shapes: never empty, never above the budget, always whole blocks.
    @Test(arguments: ImageProcessor.budgets)
    func noSizeExceedsTheBudget(budget: Int) throws {
        let processor = try ImageProcessor(patchSize: 16, poolingKernelSize: 3, maxSoftTokens: budget)
        let sides = (0..<60).map { Int(pow(1.2, Double($0))) }
        for width in sides {
            for height in sides {
                let target = try processor.targetSize(width: width, height: height)
                let tokens = (target.width / 48) * (target.height / 48)
                #expect((1...budget).contains(tokens), "\(width)×\(height)")
                #expect(target.width.isMultiple(of: 48) && target.height.isMultiple(of: 48))
            }
        }
    }

    @Test func errorsSayWhatWasExpected() throws {
        func message(_ body: () throws(ImageProcessorError) -> Void) -> String? {
            do throws(ImageProcessorError) { try body() } catch { return error.description }
            return nil
        }
        #expect(
            message { () throws(ImageProcessorError) in
                _ = try ImageProcessor(patchSize: 16, poolingKernelSize: 3, maxSoftTokens: 256)
            } == "image processor: expected 70, 140, 280, 560 or 1120 soft tokens per image, found 256.")
        #expect(
            message { () throws(ImageProcessorError) in
                _ = try ImageProcessor(patchSize: 0, poolingKernelSize: 3, maxSoftTokens: 280)
            }
                == "image processor: expected patch_size within 1...256 and pooling_kernel_size within 1...64, found 0 and 3."
        )
        let processor = try ImageProcessor(patchSize: 16, poolingKernelSize: 3, maxSoftTokens: 280)
        #expect(
            message { () throws(ImageProcessorError) in _ = try processor(width: 0, height: 3, rgb: []) }
                == "image processor: expected a picture of 1 to 1000000 pixels a side, found 0×3.")
        #expect(
            message { () throws(ImageProcessorError) in _ = try processor(width: 2, height: 3, rgb: [1, 2, 3]) }
                == "image processor: expected 18 bytes for 2×3 RGB, found 3.")
    }
}
