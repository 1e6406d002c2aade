/// An image as the vision tower's input: one row per patch, in raster order.
package struct ImagePatches: Equatable, Sendable {
    /// `[count, patchSize * patchSize * 3]`, in [0, 1]; within a patch row, then column, then channel.
    package let values: [Float]
    package let grid: PatchGrid
    /// Soft tokens of the image in the prompt: one per `poolingKernelSize`² patches.
    package let softTokenCount: Int

    package var count: Int { grid.count }
}

/// Pixels to patches within a budget of soft tokens: resize, scale to [0, 1], split into patches.
///
/// The image is scaled, up or down, to the largest size within the budget whose sides are multiples of `patchSize *
/// poolingKernelSize`; its aspect ratio is kept only as far as that allows. No padding: the reference pads to the
/// budget and masks the padding.
///
/// Source: transformers, `image_processing_gemma4.py`.
package struct ImageProcessor: Sendable {
    /// The only budgets that the models were trained with; the reference rejects others too.
    package static let budgets = [70, 140, 280, 560, 1120]

    /// Longer sides are rejected: the weights of a resize take memory in proportion to them.
    package static let maxSide = 1_000_000

    package let patchSize: Int
    package let poolingKernelSize: Int
    package let maxSoftTokens: Int

    package init(patchSize: Int, poolingKernelSize: Int, maxSoftTokens: Int) throws(ImageProcessorError) {
        guard Self.budgets.contains(maxSoftTokens) else {
            throw ImageProcessorError(
                code: .budget, expected: "70, 140, 280, 560 or 1120 soft tokens per image", found: "\(maxSoftTokens)")
        }
        guard (1...256).contains(patchSize), (1...64).contains(poolingKernelSize) else {
            throw ImageProcessorError(
                code: .geometry, expected: "patch_size within 1...256 and pooling_kernel_size within 1...64",
                found: "\(patchSize) and \(poolingKernelSize)")
        }
        self.patchSize = patchSize
        self.poolingKernelSize = poolingKernelSize
        self.maxSoftTokens = maxSoftTokens
    }

    /// The image processor of a model. The patches of the 12B correspond to the pooled squares of the others.
    ///
    /// - Throws: `ModelInputError` if the model does not accept images, `ImageProcessorError` if the budget is not
    ///   supported.
    package init(_ model: ModelConfiguration, maxSoftTokens: Int) throws {
        if let vision = model.unifiedVisionConfig {
            try self.init(patchSize: vision.modelPatchSize, poolingKernelSize: 1, maxSoftTokens: maxSoftTokens)
        } else if let vision = model.visionConfig {
            try self.init(
                patchSize: vision.patchSize, poolingKernelSize: vision.poolingKernelSize, maxSoftTokens: maxSoftTokens)
        } else {
            throw ModelInputError(.noTower("image"))
        }
    }

    /// The size to which an image is resized.
    ///
    /// At least one side is not rounded down to 0, and the product stays within the budget: the two sides before
    /// rounding down multiply to exactly the budget's pixels, which is more than one square of `side`².
    package func targetSize(width: Int, height: Int) throws(ImageProcessorError) -> (width: Int, height: Int) {
        guard (1...Self.maxSide).contains(width), (1...Self.maxSide).contains(height) else {
            throw ImageProcessorError(
                code: .pixels, expected: "a picture of 1 to \(Self.maxSide) pixels a side", found: "\(width)×\(height)")
        }
        let side = patchSize * poolingKernelSize
        let pixels = maxSoftTokens * side * side
        let factor = (Double(pixels) / (Double(width) * Double(height))).squareRoot()
        let columns = Int(factor * Double(width) / Double(side))
        let rows = Int(factor * Double(height) / Double(side))
        if rows == 0 { return (min(width / height, maxSoftTokens) * side, side) }
        if columns == 0 { return (side, min(height / width, maxSoftTokens) * side) }
        return (columns * side, rows * side)
    }

    package func softTokenCount(width: Int, height: Int) throws(ImageProcessorError) -> Int {
        let target = try targetSize(width: width, height: height)
        return target.width * target.height / (patchSize * patchSize * poolingKernelSize * poolingKernelSize)
    }

    /// The picture at the size that is cut into patches.
    ///
    /// - Parameter rgb: `[height, width, 3]`, 8-bit sRGB.
    package func resized(
        width: Int, height: Int, rgb: [UInt8]
    ) throws(ImageProcessorError) -> (width: Int, height: Int, rgb: [UInt8]) {
        let target = try targetSize(width: width, height: height)
        guard rgb.count == width * height * 3 else {
            throw ImageProcessorError(
                code: .pixels, expected: "\(width * height * 3) bytes for \(width)×\(height) RGB",
                found: "\(rgb.count)"
            )
        }
        let resized = BicubicResize.resize(rgb, width: width, height: height, to: target.width, target.height)
        return (target.width, target.height, resized)
    }

    /// - Parameter rgb: `[height, width, 3]`, 8-bit sRGB.
    package func callAsFunction(width: Int, height: Int, rgb: [UInt8]) throws(ImageProcessorError) -> ImagePatches {
        let resized = try resized(width: width, height: height, rgb: rgb)
        let (columns, rows) = (resized.width / patchSize, resized.height / patchSize)
        return ImagePatches(
            values: patches(of: resized.rgb, columns: columns, rows: rows),
            grid: PatchGrid(columns: columns, rows: rows),
            softTokenCount: rows * columns / (poolingKernelSize * poolingKernelSize))
    }

    private func patches(of rgb: [UInt8], columns: Int, rows: Int) -> [Float] {
        let scaled = (0..<256).map { Float($0) * Float(1.0 / 255) }
        let line = patchSize * 3
        var values: [Float] = []
        values.reserveCapacity(rgb.count)
        for patch in 0..<rows * columns {
            let (row, column) = patch.quotientAndRemainder(dividingBy: columns)
            for y in 0..<patchSize {
                let start = ((row * patchSize + y) * columns + column) * line
                for byte in rgb[start..<start + line] { values.append(scaled[Int(byte)]) }
            }
        }
        return values
    }
}

/// An input that the image processor rejects.
package struct ImageProcessorError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Code: Sendable {
        /// Not a supported number of soft tokens.
        case budget
        /// An unsupported patch or pooling size.
        case geometry
        /// An empty image, or a size that contradicts the number of bytes.
        case pixels
    }

    package let code: Code
    package let expected: String
    package let found: String

    package var description: String { "image processor: expected \(expected), found \(found)." }
}
