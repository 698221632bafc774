"""What teachers say: networks trained on the real images, views of images, and their labels."""

from condensery.teaching.labels import LabelSettings, label_images, view_recipe
from condensery.teaching.sampling import ViewSampling
from condensery.teaching.teacher import Teacher, TeacherSettings, get_teacher, teacher_recipe

__all__ = [
    "LabelSettings",
    "Teacher",
    "TeacherSettings",
    "ViewSampling",
    "get_teacher",
    "label_images",
    "teacher_recipe",
    "view_recipe",
]
