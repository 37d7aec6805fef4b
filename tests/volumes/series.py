"""Writes small CT series with any orientation."""

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, generate_uid


def write_series(
    folder,
    stored,
    *,
    orientation=(1, 0, 0, 0, 1, 0),
    step=3.0,
    spacing=(1.0, 1.0),
    names=None,
    photometric="MONOCHROME2",
    window=None,
):
    """Write one file per slice of `stored` (n, rows, columns); values are HU = 2 stored - 1000."""
    folder.mkdir(exist_ok=True)
    series, frame, study = generate_uid(), generate_uid(), generate_uid()
    normal = np.cross(orientation[:3], orientation[3:])
    for number, pixels in enumerate(stored):
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.SeriesInstanceUID, data.FrameOfReferenceUID, data.StudyInstanceUID = series, frame, study
        data.Modality, data.PatientID, data.PatientName = "CT", "1", "Test"
        data.PatientBirthDate = data.PatientSex = data.AccessionNumber = data.StudyID = ""
        data.StudyDate, data.StudyTime, data.SeriesNumber, data.InstanceNumber = "20200101", "120000", 1, number + 1
        data.PositionReferenceIndicator = ""
        data.ImagePositionPatient = [round(float(v), 6) for v in np.array([-5.0, 7.0, 11.0]) + normal * step * number]
        data.ImageOrientationPatient = list(map(float, orientation))
        data.PixelSpacing, data.SliceThickness = list(spacing), step
        data.Rows, data.Columns = pixels.shape
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 15, 0, 1
        data.PhotometricInterpretation = photometric
        data.RescaleSlope, data.RescaleIntercept = 2, -1000
        if window:
            data.WindowCenter, data.WindowWidth = window
        data.PixelData = pixels.astype("<u2").tobytes()
        name = number if names is None else names[number]
        data.save_as(folder / f"{name:03d}.dcm", enforce_file_format=True)
