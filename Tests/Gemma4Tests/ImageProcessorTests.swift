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
}
